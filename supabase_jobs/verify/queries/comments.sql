-- Comments: what a reader of the schema is told. Nothing depends on them.
with described as (
  select
    n.nspname,
    c.relname,
    'comment' as kind,
    '' as name,
    format('table %I.%I', n.nspname, c.relname) as target,
    'pg_class'::regclass as catalog,
    c.oid,
    0 as part
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
    'pg_class'::regclass,
    c.oid,
    a.attnum
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
    'pg_constraint'::regclass,
    k.oid,
    0
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
    'pg_class'::regclass,
    i.oid,
    0
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
    'pg_trigger'::regclass,
    t.oid,
    0
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
    'pg_policy'::regclass,
    p.oid,
    0
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
    d.catalog,
    d.oid,
    d.part
  from described as d
  union all
  select
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')),
    'comment',
    '',
    format('function %I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')),
    'pg_proc'::regclass,
    p.oid,
    0
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where p.pronamespace <> 'pg_catalog'::regnamespace -- there are thousands
)

select
  a.object,
  a.kind,
  a.name,
  c.description as value,
  format('comment on %s is %L;', a.target, c.description) as mend,
  '' as remove,
  null as unexpected,
  'warning' as differs
from all_described as a
inner join pg_description as c on a.catalog = c.classoid and a.oid = c.objoid and a.part = c.objsubid
where a.object = any($1)
