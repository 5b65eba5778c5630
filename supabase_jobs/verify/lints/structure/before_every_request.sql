-- No function stands before every request: it could take on another identity than the request's token and headers say.
-- One that limits rates or refuses requests is fine, and no line of it is looked at.
select
  'authenticator' as object,
  'pgrst.db_pre_request' as name,
  format('%s is called before every request, and what it makes of role, claims and headers is what policies see', s.name)
    as message,
  'Read it: it should set neither role nor request.jwt.claims nor request.headers.' as fix,
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
