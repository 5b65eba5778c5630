-- $1 schemas
-- Sequences of these schemas that anon or authenticated may set. A request can do that only by a function.
select
  n.nspname::text as schema,
  c.relname::text as name,
  array(
    select r.rolname::text
    from pg_roles as r
    where r.rolname in ('anon', 'authenticated')
      and has_schema_privilege(r.oid, n.oid, 'USAGE')
      and has_sequence_privilege(r.oid, c.oid, 'UPDATE')
  ) as roles
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = any($1)
  and n.nspname <> 'storage'
  and c.relkind = 'S'
order by n.nspname, c.relname
