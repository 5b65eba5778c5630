-- For each role ($2) and each managed table ($1) with row level security: the permitted commands, as statements on every
-- row. The statements read no column, so that their plans contain only the policies of their own command.
select
  o.object,
  r.role,
  v.command,
  v.statement,
  (
    select string_agg(format('"%s"', p.polname), ', ' order by p.polname)
    from pg_policy as p
    where p.polrelid = c.oid
      and p.polcmd in (v.code::"char", '*')
      and (p.polroles @> array[0::oid] or p.polroles @> array[g.oid])
  ) as policies
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
inner join pg_roles as g on g.rolname = any($2)
cross join lateral (select g.rolname::text as role) as r
cross join lateral (
  select (array_agg(a.attname order by a.attnum))[1] as name
  from pg_attribute as a
  where a.attrelid = c.oid
    and a.attnum > 0
    and not a.attisdropped
    and a.attgenerated = ''
    and has_column_privilege(g.oid, c.oid, a.attnum, 'update')
) as writable
cross join lateral (
  values
  ('select', 'r', format('select from %s', o.object), has_any_column_privilege(g.oid, c.oid, 'select')),
  ('update', 'w', 'update ' || o.object || ' set ' || quote_ident(writable.name) || ' = default', writable.name is not null),
  ('delete', 'd', format('delete from %s', o.object), has_table_privilege(g.oid, c.oid, 'delete'))
) as v (command, code, statement, allowed)
where c.relkind in ('r', 'p')
  and c.relrowsecurity
  and o.object = any($1)
  and v.allowed
order by 1, 2, 3
