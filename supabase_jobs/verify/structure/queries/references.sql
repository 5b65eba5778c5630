-- Foreign keys of other tables that would keep a row of ours from being deleted, by a cleanup for instance. Those that
-- cascade or let go are the project's own business.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'foreign key' as kind,
  format('%I of %I.%I', k.conname, m.nspname, o.relname) as name,
  'it keeps rows here from being deleted: ' || pg_get_constraintdef(k.oid) as value,
  '' as mend,
  format('alter table %I.%I drop constraint %I, add constraint %I %s;', m.nspname, o.relname, k.conname, k.conname,
    regexp_replace(pg_get_constraintdef(k.oid), '( ON DELETE RESTRICT)?( NOT DEFERRABLE| DEFERRABLE| NOT VALID|$)',
      ' ON DELETE CASCADE\2')) as remove,
  'warning' as unexpected,
  'warning' as differs
from pg_constraint as k
inner join pg_class as c on k.confrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_class as o on k.conrelid = o.oid
inner join pg_namespace as m on o.relnamespace = m.oid
where format('%I.%I', n.nspname, c.relname) = any($1)
  and format('%I.%I', m.nspname, o.relname) <> all($1)
  and k.contype = 'f'
  and k.conparentid = 0
  and k.confdeltype in ('a', 'r')
