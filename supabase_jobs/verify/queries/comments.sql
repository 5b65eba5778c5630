-- Comments: what a reader of the schema is told. Nothing depends on them.
with described as (
  select
    n.nspname,
    c.relname,
    'comment' as kind,
    '' as name,
    format('table %I.%I', n.nspname, c.relname) as target,
    obj_description(c.oid, 'pg_class') as comment
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p')
  union all
  select
    n.nspname,
    c.relname,
    'comment of column',
    a.attname,
    format('column %I.%I.%I', n.nspname, c.relname, a.attname),
    col_description(c.oid, a.attnum)
  from pg_attribute as a
  inner join pg_class as c on a.attrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where a.attnum > 0 and not a.attisdropped
  union all
  select
    n.nspname,
    c.relname,
    'comment of constraint',
    k.conname,
    format('constraint %I on %I.%I', k.conname, n.nspname, c.relname),
    obj_description(k.oid, 'pg_constraint')
  from pg_constraint as k
  inner join pg_class as c on k.conrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  union all
  select
    n.nspname,
    c.relname,
    'comment of index',
    i.relname as index_name,
    format('index %I.%I', n.nspname, i.relname),
    obj_description(i.oid, 'pg_class')
  from pg_index as x
  inner join pg_class as i on x.indexrelid = i.oid
  inner join pg_class as c on x.indrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  union all
  select
    n.nspname,
    c.relname,
    'comment of trigger',
    t.tgname,
    format('trigger %I on %I.%I', t.tgname, n.nspname, c.relname),
    obj_description(t.oid, 'pg_trigger')
  from pg_trigger as t
  inner join pg_class as c on t.tgrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  union all
  select
    n.nspname,
    c.relname,
    'comment of policy',
    p.polname,
    format('policy %I on %I.%I', p.polname, n.nspname, c.relname),
    obj_description(p.oid, 'pg_policy')
  from pg_policy as p
  inner join pg_class as c on p.polrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
),

all_described as (
  select
    format('%I.%I', d.nspname, d.relname) as object,
    d.kind,
    d.name,
    d.target,
    d.comment
  from described as d
  union all
  select
    f.object,
    'comment',
    '',
    'function ' || f.object,
    f.comment
  from (
    select
      format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
      obj_description(p.oid, 'pg_proc') as comment
    from pg_proc as p
    inner join pg_namespace as n on p.pronamespace = n.oid
  ) as f
)

select
  a.object,
  a.kind,
  a.name,
  a.comment as value,
  format('comment on %s is %L;', a.target, a.comment) as mend,
  '' as remove,
  null as unexpected,
  'warning' as differs
from all_described as a
where a.object = any($1)
  and a.comment is not null
