-- Table privileges of roles other than the owner. ALL stands for the owner's default privileges on this server:
-- PostgreSQL 17 added MAINTAIN.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'grant' as kind,
  g.grantee as name,
  case when g.privileges = every.privileges then 'ALL' else g.privileges end as value,
  format('grant %s on table %I.%I to %s;',
    case when g.privileges = every.privileges then 'ALL' else g.privileges end, n.nspname, c.relname, g.grantee) as create_sql,
  format('revoke all on table %I.%I from %s;', n.nspname, c.relname, g.grantee) as drop_sql,
  -- a warning if no request can act as the role
  case when g.oid = 0 or pg_has_role(to_regrole('authenticator')::oid, g.oid, 'member')
    or g.grantee in ('anon', 'authenticated', 'service_role', 'authenticator') then 'error' else 'warning' end as unexpected_severity,
  'error' as deviation_severity
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select string_agg(a.privilege_type, ', ' order by a.privilege_type) as privileges
  from aclexplode(acldefault('r', c.relowner)) as a
  where a.grantee = c.relowner
) as every
cross join lateral (
  select
    a.grantee as oid,
    case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
    string_agg(a.privilege_type || case when a.is_grantable then ' with grant option' else '' end, ', '
      order by a.privilege_type) as privileges
  from aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as a
  where a.grantee <> c.relowner
  group by a.grantee
) as g
where format('%I.%I', n.nspname, c.relname) = any($1)
