-- Privileges on managed schemas of roles other than the owner.
select
  format('%I', n.nspname) as object,
  'schema grant' as kind,
  g.grantee as name,
  g.privileges as value,
  format('grant %s on schema %I to %s;', g.privileges, n.nspname, g.grantee) as create_sql,
  format('revoke all on schema %I from %s;', n.nspname, g.grantee) as drop_sql,
  -- USAGE alone gives no access to an object; CREATE does
  case when g.privileges = 'USAGE' then 'info'
    when g.oid = 0 or pg_has_role(to_regrole('authenticator')::oid, g.oid, 'member')
      or g.grantee in ('anon', 'authenticated', 'service_role', 'authenticator') then 'error' else 'info' end as unexpected_severity,
  'error' as deviation_severity
from pg_namespace as n
cross join lateral (
  select
    a.grantee as oid,
    case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
    string_agg(a.privilege_type || case when a.is_grantable then ' with grant option' else '' end, ', '
      order by a.privilege_type) as privileges
  from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as a
  where a.grantee <> n.nspowner
    -- the role that applied the migrations holds a grant if the schema existed before
    and a.grantee <> to_regrole(quote_ident(current_user))::oid
  group by a.grantee
) as g
where format('%I', n.nspname) = any($1)
