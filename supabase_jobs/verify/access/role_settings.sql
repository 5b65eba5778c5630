-- The settings that PostgREST makes for each request of a role, because the role has them: those that every user may change.
-- It sets the search_path and the isolation itself.
select
  g.rolname::text as role,
  s.name,
  substr(c.setting, strpos(c.setting, '=') + 1) as value,
  format('alter role %I%s reset %s;', g.rolname, coalesce(' in database ' || quote_ident(d.datname), ''), s.name) as fix
from pg_db_role_setting as r
inner join pg_roles as g on r.setrole = g.oid
left join pg_database as d on r.setdatabase = d.oid
cross join unnest(r.setconfig) as c (setting)
inner join pg_settings as s on split_part(c.setting, '=', 1) = s.name
where g.rolname in ('anon', 'authenticated', 'service_role')
  and (d.oid is null or d.datname = current_database())
  and s.context = 'user'
  and s.name not in ('search_path', 'default_transaction_isolation', 'transaction_isolation')
order by g.rolname, s.name
