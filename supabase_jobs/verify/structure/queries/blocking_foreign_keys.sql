-- Foreign keys of user tables that block the deletion of rows in managed tables, for example by a cleanup, or of users, whose
-- jobs are deleted with them. Keys with ON DELETE CASCADE, SET NULL or SET DEFAULT block nothing and are not reported, unless
-- they delete rows that block, or no row may be without a value.
with recursive deleted (object, oid) as (
  select
    format('%I.%I', n.nspname, c.relname),
    c.oid
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where (format('%I.%I', n.nspname, c.relname) = any($1) and c.relkind in ('r', 'p'))
    or (n.nspname = 'auth' and c.relname = 'users')
  union
  select
    d.object,
    k.conrelid
  from deleted as d
  inner join pg_constraint as k on d.oid = k.confrelid and k.contype = 'f' and k.confdeltype = 'c'
  inner join pg_class as o on k.conrelid = o.oid
  inner join pg_namespace as m on o.relnamespace = m.oid
  where m.nspname <> 'auth'
    and format('%I.%I', m.nspname, o.relname) <> all($1)
),

-- what ON DELETE CASCADE of such a key would delete, so that the fix says it
also_deleted (key, oid) as (
  select
    k.oid,
    k.conrelid
  from pg_constraint as k
  where k.contype = 'f' and k.confrelid in (select d.oid from deleted as d)
  union
  select
    a.key,
    k.conrelid
  from also_deleted as a
  inner join pg_constraint as k on a.oid = k.confrelid and k.contype = 'f' and k.confdeltype = 'c'
)

select
  d.object,
  'foreign key' as kind,
  format('%I.%I.%I', m.nspname, o.relname, k.conname) as name,
  'it blocks the deletion of rows in this table: ' || pg_get_constraintdef(k.oid) as value,
  '' as create_sql,
  format(E'-- It deletes rows of these tables too; ON DELETE SET NULL keeps them: %s\nalter table %I.%I drop constraint %I, add constraint %I %s;',
    (
      select string_agg(replace(a.oid::regclass::text, E'\n', ' '), ', ' order by a.oid::regclass::text)
      from also_deleted as a
      where a.key = k.oid
    ),
    m.nspname, o.relname, k.conname, k.conname,
    regexp_replace(pg_get_constraintdef(k.oid), '( ON DELETE (RESTRICT|SET NULL))?( NOT DEFERRABLE| DEFERRABLE| NOT VALID|$)',
      ' ON DELETE CASCADE\3')) as drop_sql,
  'warning' as unexpected_severity,
  'warning' as deviation_severity
from deleted as d
inner join pg_constraint as k on d.oid = k.confrelid
inner join pg_class as o on k.conrelid = o.oid
inner join pg_namespace as m on o.relnamespace = m.oid
where format('%I.%I', m.nspname, o.relname) <> all($1)
  and m.nspname <> 'auth'
  and k.contype = 'f'
  and k.conparentid = 0
  and (
    k.confdeltype in ('a', 'r')
    or (
      k.confdeltype = 'n'
      and exists (
        select from pg_attribute as a
        where a.attrelid = o.oid and a.attnum = any(k.conkey) and a.attnotnull
      )
    )
  )
