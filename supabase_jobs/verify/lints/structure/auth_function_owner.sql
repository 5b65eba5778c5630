-- No role of the API owns a function of schema auth that policies read the caller from: its owner can replace it.
select
  f.object,
  '' as name,
  format('role %s owns the function, and can replace it by one that returns another caller', g.rolname) as message,
  format('alter function %s owner to supabase_auth_admin;', f.object) as fix,
  'error' as severity,
  '{}'::text[] as facts
from pg_proc as p
inner join pg_roles as g on p.proowner = g.oid
cross join lateral (
  select format('auth.%I(%s)', p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object
) as f
where p.pronamespace = to_regnamespace('auth')
  and p.proname in ('uid', 'role', 'email', 'jwt')
  -- authenticator, and every role that it can switch to
  and pg_has_role(to_regrole('authenticator')::oid, g.oid, 'member')
  and not g.rolsuper
