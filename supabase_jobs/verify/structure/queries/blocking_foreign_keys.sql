-- Foreign keys of user tables that block the deletion of rows in managed tables, for example by a cleanup. Keys with
-- ON DELETE CASCADE, SET NULL or SET DEFAULT block nothing and are not reported.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'foreign key' as kind,
  format('%I of %I.%I', k.conname, m.nspname, o.relname) as name,
  'it blocks the deletion of rows in this table: ' || pg_get_constraintdef(k.oid) as value,
  '' as create_sql,
  format('alter table %I.%I drop constraint %I, add constraint %I %s;', m.nspname, o.relname, k.conname, k.conname,
    regexp_replace(pg_get_constraintdef(k.oid), '( ON DELETE RESTRICT)?( NOT DEFERRABLE| DEFERRABLE| NOT VALID|$)',
      ' ON DELETE CASCADE\2')) as drop_sql,
  'warning' as unexpected_severity,
  'warning' as deviation_severity
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
