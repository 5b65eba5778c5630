-- Comments on tables, types, columns, constraints, indexes, triggers, policies and functions.
with relation as (
  select
    c.oid,
    c.reltype,
    c.relkind,
    n.nspname,
    c.relname,
    format('%I.%I', n.nspname, c.relname) as object
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where format('%I.%I', n.nspname, c.relname) = any($1)
),

described as (
  select
    r.object,
    'comment' as kind,
    '' as name,
    format('table %I.%I', r.nspname, r.relname) as target,
    'pg_class'::regclass as catalog,
    r.oid,
    0 as part
  from relation as r
  where r.relkind in ('r', 'p')
  union all
  select
    r.object,
    'comment',
    '',
    format('type %I.%I', r.nspname, r.relname),
    'pg_type'::regclass,
    r.reltype,
    0
  from relation as r
  where r.relkind = 'c'
  union all
  select
    r.object,
    'comment of column',
    a.attname,
    format('column %I.%I.%I', r.nspname, r.relname, a.attname),
    'pg_class'::regclass,
    r.oid,
    a.attnum
  from pg_attribute as a
  inner join relation as r on a.attrelid = r.oid
  where a.attnum > 0 and not a.attisdropped
  union all
  select
    r.object,
    'comment of constraint',
    k.conname,
    format('constraint %I on %I.%I', k.conname, r.nspname, r.relname),
    'pg_constraint'::regclass,
    k.oid,
    0
  from pg_constraint as k
  inner join relation as r on k.conrelid = r.oid
  union all
  select
    r.object,
    'comment of index',
    i.relname as index_name,
    format('index %I.%I', r.nspname, i.relname),
    'pg_class'::regclass,
    i.oid,
    0
  from pg_index as x
  inner join pg_class as i on x.indexrelid = i.oid
  inner join relation as r on x.indrelid = r.oid
  union all
  select
    r.object,
    'comment of trigger',
    t.tgname,
    format('trigger %I on %I.%I', t.tgname, r.nspname, r.relname),
    'pg_trigger'::regclass,
    t.oid,
    0
  from pg_trigger as t
  inner join relation as r on t.tgrelid = r.oid
  union all
  select
    r.object,
    'comment of policy',
    p.polname,
    format('policy %I on %I.%I', p.polname, r.nspname, r.relname),
    'pg_policy'::regclass,
    p.oid,
    0
  from pg_policy as p
  inner join relation as r on p.polrelid = r.oid
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
  where p.pronamespace <> 'pg_catalog'::regnamespace -- which has thousands of functions
    and format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) = any($1)
)

select
  d.object,
  d.kind,
  d.name,
  c.description as value,
  format('comment on %s is %L;', d.target, c.description) as create_sql,
  '' as drop_sql,
  null as unexpected_severity,
  'warning' as deviation_severity
from described as d
inner join pg_description as c on d.catalog = c.classoid and d.oid = c.objoid and d.part = c.objsubid
