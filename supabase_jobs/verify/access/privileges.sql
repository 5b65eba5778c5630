-- $1 tables
-- The privileges on these tables of every role that a request can act as, and of every other grantee; PUBLIC is one row.
-- A role that a request can act as also has the privileges of the roles that it is a member of.
with relation as (
  select
    c.oid,
    c.relacl,
    c.relowner,
    format('%I.%I', n.nspname, c.relname) as object
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where format('%I.%I', n.nspname, c.relname) = any($1)
),

privilege as (
  select
    r.*,
    a.privilege_type as name,
    a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') as by_column
  from relation as r
  cross join lateral aclexplode(acldefault('r', r.relowner)) as a
  where a.grantee = r.relowner
),

granted as (
  select
    r.oid,
    a.grantee,
    a.privilege_type as name
  from relation as r
  cross join lateral aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) as a
  union
  select
    r.oid,
    a.grantee,
    a.privilege_type
  from relation as r
  inner join pg_attribute as t on r.oid = t.attrelid
  cross join lateral aclexplode(t.attacl) as a
),

holder as (
  select
    p.object,
    g.grantee = 0 or coalesce(pg_has_role(to_regrole('authenticator')::oid, g.grantee, 'member'), false) as reachable,
    case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee)::text end as role,
    p.name
  from privilege as p
  inner join granted as g on p.oid = g.oid and p.name = g.name
  where g.grantee <> p.relowner
  union
  select
    p.object,
    true,
    r.rolname::text,
    p.name
  from privilege as p
  inner join pg_roles as r
    on pg_has_role(to_regrole('authenticator')::oid, r.oid, 'member')
      and not r.rolsuper
      -- each request sets another role, and what that may is listed
      and r.oid <> to_regrole('authenticator')
      and not pg_has_role(r.oid, p.relowner, 'member')
  where not exists (
    select 1 from granted as g
    where g.oid = p.oid and g.name = p.name and g.grantee = 0
  )
  and case
    when p.by_column then has_any_column_privilege(r.oid, p.oid, p.name)
    else has_table_privilege(r.oid, p.oid, p.name)
  end
)

select
  h.object,
  h.role,
  h.name,
  h.reachable,
  format('revoke %s on table %s from %I;', h.name, h.object, h.role) as fix
from holder as h
order by 1, 2, 3
