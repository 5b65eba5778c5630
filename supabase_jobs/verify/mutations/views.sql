-- Views that run as their owner, whom row level security does not hold back, and what lets the API read them.
select
  format('%s:%s:%s', v.operator, t.object, r.name) as id,
  t.object,
  format('%s, for %s', v.description, r.name) as description,
  v.sql || format('grant select on %s to %s;', t.mutant, r.name) as sql
from (
  select
    format('%I.%I', n.nspname, c.relname) as object,
    format('%I.%I', n.nspname, 'mutant of ' || c.relname) as mutant,
    format('%I.%I', n.nspname, 'inner mutant of ' || c.relname) as inner_mutant
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p')
) as t
cross join unnest(array['public', 'anon', 'authenticated']) as r (name)
cross join lateral (
  values
  ('definer', 'a view that runs as its owner',
    format('create view %s as select * from %s; revoke all on %s from public, anon, authenticated;',
      t.mutant, t.object, t.mutant)),
  ('materialized', 'a materialized view',
    format('create materialized view %s as select * from %s; revoke all on %s from public, anon, authenticated;',
      t.mutant, t.object, t.mutant)),
  ('nested', 'a view of a view, which runs as its owner',
    format('create view %s with (security_invoker = true) as select * from %s; create view %s as select * from %s;'
      'revoke all on %s, %s from public, anon, authenticated;',
      t.inner_mutant, t.object, t.mutant, t.inner_mutant, t.inner_mutant, t.mutant))
) as v (operator, description, sql)
where t.object = any($1)
