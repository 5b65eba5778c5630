-- No function runs before every request: it could replace the role, the claims or the headers of the request.
-- A function that limits rates or rejects requests is harmless. The rule does not read its body.
select
  'authenticator' as object,
  'pgrst.db_pre_request' as name,
  format('%s runs before every request, and can replace the role, claims and headers that policies read', s.name)
    as message,
  'Review the function: it must not set role, request.jwt.claims or request.headers.' as fix,
  'info' as severity,
  '{}'::text[] as facts
from pg_db_role_setting as r
left join pg_database as d on r.setdatabase = d.oid
cross join unnest(r.setconfig) as c (setting)
cross join lateral (select substr(c.setting, length('pgrst.db_pre_request=') + 1) as name) as s
where r.setrole = to_regrole('authenticator')::oid
  and (d.oid is null or d.datname = current_database())
  and starts_with(c.setting, 'pgrst.db_pre_request=')
  and s.name <> ''
