-- Schemas: whose our helpers' is (the project may have had it before; only a role of the API must not own it), and whether
-- the API's roles may create objects where our tables stand.
select
  format('%I', n.nspname) as object,
  'owner' as kind,
  '' as name,
  case
    when
      pg_get_userbyid(n.nspowner) in ('anon', 'authenticated', 'service_role', 'authenticator')
      then pg_get_userbyid(n.nspowner)
    else 'no role of the API'
  end as value,
  format('alter schema %I owner to postgres;', n.nspname) as mend,
  '' as remove,
  'error' as unexpected,
  'error' as differs
from pg_namespace as n
where format('%I', n.nspname) = any($1)
union all
select
  format('%I', n.nspname),
  'right to create objects',
  g.grantee,
  'where tables of ours stand',
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
    )
) as g
where format('%I', n.nspname) <> all($1)
  and exists (
    select 1 from pg_class as c
    where c.relnamespace = n.oid
      and format('%I.%I', n.nspname, c.relname) = any($1)
  )
