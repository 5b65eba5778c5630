-- Doors: views and functions that run as their owner, whom row level security does not hold back, copies, and what lets
-- the API reach them.
with door as (
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
  format('%s:%s:%s', v.operator, d.object, d.role) as id,
  d.object,
  format('%s, for %s', v.description, d.role) as description,
  v.sql || format('revoke all on %s from public, anon, authenticated; grant %s on %s to %s;',
    d.mutant, v.privilege, d.mutant, d.role) as sql
from door as d
cross join lateral (
  values
  ('definer', 'a view that runs as its owner', 'select',
    format('create view %s as select * from %s;', d.mutant, d.object)),
  ('written', 'a view that runs as its owner, to write through', 'insert, update, delete',
    format('create view %s as select * from %s;', d.mutant, d.object)),
  ('materialized', 'a materialized view', 'select',
    format('create materialized view %s as select * from %s;', d.mutant, d.object)),
  ('copy', 'a copy', 'select', format('create table %s as select * from %s;', d.mutant, d.object)),
  ('nested', 'a view of a view, which runs as its owner', 'select',
    format('create view %s with (security_invoker = true) as select * from %s; create view %s as select * from %s;'
      'revoke all on %s from public, anon, authenticated;',
      d.inner_mutant, d.object, d.mutant, d.inner_mutant, d.inner_mutant))
) as v (operator, description, privilege, sql)
union all
select
  format('%s:%s:%s', v.operator, d.object, d.role),
  d.object,
  format('a function that runs as its owner and %s, for %s', v.description, d.role),
  v.sql || format('revoke all on function %s() from public, anon, authenticated; grant execute on function %s() to %s;',
    d.mutant, d.mutant, d.role)
from door as d
cross join lateral (
  values
  ('function', 'returns the rows',
    format('create function %s() returns setof %s language sql security definer set search_path = '''''
      ' as %L;', d.mutant, d.object, format('select * from %s', d.object))),
  ('function-plpgsql', 'changes the rows',
    format('create function %s() returns void language plpgsql security definer set search_path = '''''
      ' as %L;', d.mutant, format('begin update %s set %s = default; end', d.object, d.last)))
) as v (operator, description, sql)
