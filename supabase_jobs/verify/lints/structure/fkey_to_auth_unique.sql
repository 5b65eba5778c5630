-- Every foreign key to a table of schema auth references its primary key: an upgrade of Auth may drop other unique
-- indexes. Supabase's advisor 0021.
select
  o.object,
  k.conname::text as name,
  format('foreign key "%s" depends on index "%s" of auth.%I, which is not its primary key; an upgrade of Auth may drop it',
    k.conname, i.relname, t.relname) as message,
  format(E'alter table %s drop constraint %I;\n-- Then add it again, as a reference to the primary key.', o.object, k.conname) as fix,
  'error' as severity,
  array[format('%s:constraint:%s', o.object, k.conname)] as facts
from pg_constraint as k
inner join pg_class as c on k.conrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_class as t on k.confrelid = t.oid
inner join pg_namespace as m on t.relnamespace = m.oid
inner join pg_index as x on k.conindid = x.indexrelid
inner join pg_class as i on x.indexrelid = i.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
where k.contype = 'f'
  and m.nspname = 'auth'
  and not x.indisprimary
  and ($1::jsonb -> 'managed') ? o.object
