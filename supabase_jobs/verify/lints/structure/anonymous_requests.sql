-- Requests without a token act as anon: the grants and policies that keep strangers out are written for that role.
-- PostgREST takes the role from its configuration, and a setting of the role that it connects as goes before that.
select
  'authenticator' as object,
  'pgrst.db_anon_role' as name,
  format('requests without a token act as %s instead of anon: whoever has the address of the API may do what it may', s.role)
    as message,
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
