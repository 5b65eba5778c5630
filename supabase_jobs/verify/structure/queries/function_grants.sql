-- EXECUTE privileges on functions of roles other than the owner.
select
  f.object,
  'execute' as kind,
  g.grantee as name,
  'EXECUTE' || case when g.is_grantable then ' with grant option' else '' end as value,
  format('grant execute on function %s to %s;', f.object, g.grantee) as create_sql,
  format('revoke all on function %s from %s;', f.object, g.grantee) as drop_sql,
  -- a warning if no request can act as the role
  case when g.oid = 0 or pg_has_role(to_regrole('authenticator')::oid, g.oid, 'member')
    or g.grantee in ('anon', 'authenticated', 'service_role', 'authenticator') then 'error' else 'warning' end as unexpected_severity,
  'error' as deviation_severity
from (
  select
    p.proacl,
    p.proowner,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where p.pronamespace <> 'pg_catalog'::regnamespace -- which has thousands of functions
) as f
cross join lateral (
  select
    a.grantee as oid,
    case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
    a.is_grantable
  from aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) as a
  where a.grantee <> f.proowner
) as g
where f.object = any($1)
