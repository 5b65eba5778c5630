-- The roles of the API can serve requests: authenticator can log in and switch to the three others, and no connection
-- limit, expiry or statement timeout stops them.
-- A timeout below 100 ms cancels ordinary requests. PostgREST applies the settings of the role that it switches to.
-- PostgreSQL itself reads the timeouts, which may be hexadecimal or have a unit: as another timeout with the same unit,
-- which does not apply inside a transaction and ends with it. It returns them as an integer with a unit.
select
  'authenticator' as object,
  r.name,
  format('authenticator cannot switch to %s: every request of that role fails', r.name) as message,
  format('grant %I to authenticator;', r.name) as fix,
  'error' as severity,
  '{}'::text[] as facts
from (values ('anon'), ('authenticated'), ('service_role')) as r (name)
where to_regrole('authenticator') is not null
  and to_regrole(r.name) is not null
  and not pg_has_role(
    to_regrole('authenticator')::oid, to_regrole(r.name)::oid,
    case when current_setting('server_version_num')::integer >= 160000 then 'SET' else 'MEMBER' end
  )
union all
select
  quote_ident(r.rolname),
  v.name,
  v.message,
  format('alter role %I %s;', r.rolname, v.fix),
  v.severity,
  '{}'
from pg_roles as r
cross join lateral (
  values
  ('login', 'the role cannot log in', 'login', 'error', not r.rolcanlogin),
  (
    'connection limit', format('the role may have %s connections only', r.rolconnlimit), 'connection limit -1',
    case r.rolconnlimit when 0 then 'error' else 'warning' end, r.rolconnlimit between 0 and 9
  ),
  (
    'valid until', format('the password of the role is valid until %s only', r.rolvaliduntil), 'valid until ''infinity''',
    'error', r.rolvaliduntil < now()
  )
) as v (name, message, fix, severity, is_wrong)
where r.rolname in ('authenticator', 'supabase_auth_admin', 'supabase_storage_admin')
  and v.is_wrong
union all
select
  quote_ident(r.rolname),
  'connect',
  format('the role may not connect to the database %I', current_database()),
  format('grant connect on database %I to %I;', current_database(), r.rolname),
  'error',
  '{}'
from pg_roles as r
where r.rolname in ('authenticator', 'supabase_auth_admin', 'supabase_storage_admin')
  and not has_database_privilege(r.oid, current_database(), 'connect')
union all
select
  format('database %I', d.datname),
  'connection limit',
  format('the database may have %s connections only', d.datconnlimit),
  format('alter database %I connection limit -1;', d.datname),
  case d.datconnlimit when 0 then 'error' else 'warning' end,
  '{}'
from pg_database as d
where d.datname = current_database()
  and d.datconnlimit between 0 and 9
union all
select
  coalesce(quote_ident(r.rolname), format('database %I', d.datname)),
  s.name,
  format('%s is %s: it cancels almost every statement of a request', s.name, s.value),
  case
    when r.oid is null then format('alter database %I reset %s;', d.datname, s.name)
    else format('alter role %I%s reset %s;', r.rolname, ' in database ' || quote_ident(d.datname), s.name)
  end,
  'error',
  '{}'
from pg_db_role_setting as x
left join pg_roles as r on x.setrole = r.oid
left join pg_database as d on x.setdatabase = d.oid
cross join unnest(x.setconfig) as c (setting)
cross join lateral (
  select
    split_part(c.setting, '=', 1) as name,
    split_part(c.setting, '=', 2) as value
) as s
cross join lateral (
  select
    case
      when s.name in ('statement_timeout', 'transaction_timeout')
        then set_config('idle_session_timeout', s.value, true)
    end as timeout
) as p
where (d.oid is null or d.datname = current_database())
  and (
    r.oid is null
    or r.rolname in ('authenticator', 'anon', 'authenticated', 'service_role', 'supabase_auth_admin', 'supabase_storage_admin')
  )
  and p.timeout ~ '^[1-9]\d?ms$'
