-- Bypasses of row level security: views and SECURITY DEFINER functions that run as the owner of the table, and copies
-- of the table, with privileges for a role of the API.
with bypass as (
  select
    format('%I.%I', n.nspname, c.relname) as object,
    r.name as role,
    format('%I.%I', n.nspname, 'mutant of ' || c.relname) as mutant,
    format('%I.%I', n.nspname, 'inner mutant of ' || c.relname) as inner_mutant,
    (
      select format('%I', a.attname) from pg_attribute as a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity <> 'a'
      order by a.attnum desc limit 1
    ) as last
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  cross join unnest(array['public', 'anon', 'authenticated']) as r (name)
  where c.relkind in ('r', 'p')
    and format('%I.%I', n.nspname, c.relname) = any($1)
)

select
  array[v.operator, d.object, d.role] as id,
  d.object,
  format('%s, with privileges for %s', v.description, d.role) as description,
  v.sql || format('revoke all on %s from public, anon, authenticated; grant %s on %s to %s;',
    d.mutant, v.privilege, d.mutant, d.role) as sql
from bypass as d
cross join lateral (
  values
  ('definer', 'a view without security_invoker', 'select',
    format('create view %s as select * from %s;', d.mutant, d.object)),
  ('writable', 'a writable view without security_invoker', 'insert, update, delete',
    format('create view %s as select * from %s;', d.mutant, d.object)),
  ('materialized', 'a materialized view', 'select',
    format('create materialized view %s as select * from %s;', d.mutant, d.object)),
  ('copy', 'a copy of the table', 'select', format('create table %s as select * from %s;', d.mutant, d.object)),
  ('nested', 'a view without security_invoker over another view', 'select',
    format('create view %s with (security_invoker = true) as select * from %s; create view %s as select * from %s;'
      'revoke all on %s from public, anon, authenticated;',
      d.inner_mutant, d.object, d.mutant, d.inner_mutant, d.inner_mutant))
) as v (operator, description, privilege, sql)
union all
select
  array[v.operator, d.object, d.role],
  d.object,
  format('a SECURITY DEFINER function that %s, executable by %s', v.description, d.role),
  v.sql || format('revoke all on function %s() from public, anon, authenticated; grant execute on function %s() to %s;',
    d.mutant, d.mutant, d.role)
from bypass as d
cross join lateral (
  values
  ('function', 'returns the rows',
    format('create function %s() returns setof %s language sql security definer set search_path = '''''
      ' as %L;', d.mutant, d.object, format('select * from %s', d.object))),
  ('function-plpgsql', 'changes the rows',
    format('create function %s() returns void language plpgsql security definer set search_path = '''''
      ' as %L;', d.mutant, format('begin update %s set %s = default; end', d.object, d.last)))
) as v (operator, description, sql)
