-- Schemas: a managed schema must exist, and must not belong to a role of the API (it may have existed before the
-- migrations, with any other owner), and the API's roles must not create objects in the schemas of managed tables.
select
  format('%I', n.nspname) as object,
  'schema' as kind,
  '' as name,
  'schema' as value,
  format('create schema %I;', n.nspname) as create_sql,
  '' as drop_sql,
  'error' as unexpected_severity,
  'error' as deviation_severity
from pg_namespace as n
where format('%I', n.nspname) = any($1)
union all
select
  format('%I', n.nspname),
  'owner',
  '',
  case
    when
      pg_get_userbyid(n.nspowner) in ('anon', 'authenticated', 'service_role', 'authenticator')
      then pg_get_userbyid(n.nspowner)
    else 'no role of the API'
  end,
  format('alter schema %I owner to postgres;', n.nspname),
  '',
  'error',
  'error'
from pg_namespace as n
where format('%I', n.nspname) = any($1)
union all
select
  format('%I', n.nspname),
  'right to create objects',
  g.grantee,
  'in a schema with managed tables',
  '',
  format('revoke create on schema %I from %s;', n.nspname, g.grantee),
  'warning',
  'warning'
from pg_namespace as n
cross join lateral (
  select case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee
  from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as a
  where a.privilege_type = 'CREATE'
    and (
      a.grantee = 0
      or pg_get_userbyid(a.grantee) in ('anon', 'authenticated', 'service_role', 'authenticator')
      -- a group that a role of the API belongs to
      or (a.grantee <> n.nspowner and pg_has_role(to_regrole('authenticator')::oid, a.grantee, 'member'))
    )
) as g
where format('%I', n.nspname) <> all($1)
  and exists (
    select 1 from pg_class as c
    where c.relnamespace = n.oid
      and format('%I.%I', n.nspname, c.relname) = any($1)
  )
