-- Requests without a token run as role anon: the grants and policies for unauthenticated requests name that role.
-- A setting of the authenticator role overrides the configuration of PostgREST.
select
  'authenticator' as object,
  'pgrst.db_anon_role' as name,
  format('requests without a token run as %s instead of anon, with all privileges of that role', s.role) as message,
  format(
    'alter role authenticator%s reset pgrst.db_anon_role; notify pgrst, %L;',
    ' in database ' || quote_ident(d.datname),
    'reload config'
  ) as fix,
  'error' as severity,
  '{}'::text[] as facts
from pg_db_role_setting as r
left join pg_database as d on r.setdatabase = d.oid
cross join unnest(r.setconfig) as c (setting)
cross join lateral (select substr(c.setting, length('pgrst.db_anon_role=') + 1) as role) as s
where r.setrole = to_regrole('authenticator')::oid
  and (d.oid is null or d.datname = current_database())
  and starts_with(c.setting, 'pgrst.db_anon_role=')
  and s.role <> 'anon'
