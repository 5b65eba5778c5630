-- $1 managed
-- What the project lets run when a row of a managed table is written: triggers, each with the name of its function; and
-- check constraints, exclusion constraints, generated columns and indexes that compute something or have values of any length,
-- with '' for it. Also their texts, and what the id of each names: the table, the kind and the part.
with managed_table as (
  select
    c.oid,
    format('%I.%I', n.nspname, c.relname) as name
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where format('%I.%I', n.nspname, c.relname) = any($1)
)

select
  format('trigger %I of %s', t.tgname, m.name) as name,
  p.proname::text as function,
  p.prosrc as text,
  false as is_constraint,
  m.name as table_name,
  'trigger' as kind,
  t.tgname::text as part
from pg_trigger as t
inner join managed_table as m on t.tgrelid = m.oid
inner join pg_proc as p on t.tgfoid = p.oid
where
  not t.tgisinternal
  and t.tgenabled <> 'D'
  and format('%s:%s', m.name, t.tgname) <> all($1)
union all
select
  format('constraint %I of %s', k.conname, m.name),
  '',
  pg_get_constraintdef(k.oid),
  true,
  m.name,
  'constraint',
  k.conname::text
from pg_constraint as k
inner join managed_table as m on k.conrelid = m.oid
where
  k.contype in ('c', 'x')
  and format('%s:%s', m.name, k.conname) <> all($1)
union all
select
  format('index %I of %s', c.relname, m.name),
  '',
  pg_get_indexdef(i.indexrelid),
  false,
  m.name,
  'index',
  c.relname::text
from pg_index as i
inner join managed_table as m on i.indrelid = m.oid
inner join pg_class as c on i.indexrelid = c.oid
where
  (
    i.indexprs is not null
    or i.indpred is not null
    -- a value may be too long for it
    or exists (
      select from pg_attribute as a
      inner join pg_type as t on a.atttypid = t.oid
      where a.attrelid = i.indrelid and a.attnum = any(i.indkey) and t.typlen = -1
    )
  )
  and not exists (
    select from pg_constraint as k
    where k.conindid = i.indexrelid
  )
  and format('%s:%s', m.name, c.relname) <> all($1)
union all
select
  format('column %I of %s', a.attname, m.name),
  '',
  pg_get_expr(d.adbin, d.adrelid),
  false,
  m.name,
  'column',
  a.attname::text
from pg_attribute as a
inner join managed_table as m on a.attrelid = m.oid
inner join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
where
  a.attgenerated <> ''
  and format('%s:%s', m.name, a.attname) <> all($1)
order by name
