-- Column privileges of roles other than the owner.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'grant of column' as kind,
  format('%s to %s', a.attname, g.grantee) as name,
  g.privileges as value,
  format('grant %s on table %I.%I to %s;', g.each, n.nspname, c.relname, g.grantee) as create_sql,
  format('revoke all (%I) on table %I.%I from %s;', a.attname, n.nspname, c.relname, g.grantee) as drop_sql,
  -- a warning if no request can act as the role
  case when g.oid = 0 or pg_has_role(to_regrole('authenticator')::oid, g.oid, 'member')
    or g.grantee in ('anon', 'authenticated', 'service_role', 'authenticator') then 'error' else 'warning' end as unexpected_severity,
  'error' as deviation_severity
from pg_attribute as a
inner join pg_class as c on a.attrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select
    x.grantee as oid,
    case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end as grantee,
    string_agg(x.privilege_type || case when x.is_grantable then ' with grant option' else '' end, ', '
      order by x.privilege_type) as privileges,
    string_agg(format('%s (%I)', x.privilege_type, a.attname), ', ' order by x.privilege_type) as each
  from aclexplode(a.attacl) as x
  where x.grantee <> c.relowner
  group by x.grantee
) as g
where format('%I.%I', n.nspname, c.relname) = any($1)
  and a.attnum > 0
  and not a.attisdropped
