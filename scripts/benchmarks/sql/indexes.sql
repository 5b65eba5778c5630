-- The statements that drop and create each key and index of the jobs, on the parent if the table is partitioned.
select
  format('alter table public.async_jobs drop constraint %I', c.conname) as drop_statement,
  format('alter table public.async_jobs add constraint %I %s', c.conname, pg_get_constraintdef(c.oid)) as create_statement
from pg_constraint as c
where c.conrelid = 'public.async_jobs'::regclass and c.contype in ('p', 'u')
union all
select
  format('drop index %s', i.indexrelid::regclass),
  replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
from pg_index as i
where
  i.indrelid = 'public.async_jobs'::regclass
  and i.indexrelid not in (
    select c.conindid from pg_constraint as c
    where c.contype in ('p', 'u')
  )
