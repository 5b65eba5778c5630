-- Managed tables, types and functions that are members of an extension: DROP EXTENSION drops them, and dumps leave them out.
select
  o.object,
  'extension that has it' as kind,
  e.extname::text as name,
  'dropping the extension drops it, and dumps leave it out' as value,
  '' as create_sql,
  format('alter extension %I drop %s %s;', e.extname, o.kind, o.object) as drop_sql,
  'warning' as unexpected_severity,
  'warning' as deviation_severity
from pg_extension as e
inner join pg_depend as d on d.refclassid = 'pg_extension'::regclass and e.oid = d.refobjid and d.deptype = 'e'
inner join lateral (
  select
    'function' as kind,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where d.classid = 'pg_proc'::regclass and d.objid = p.oid and p.prokind = 'f'
  union all
  select
    case c.relkind when 'c' then 'type' else 'table' end,
    format('%I.%I', n.nspname, c.relname)
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where d.classid = 'pg_class'::regclass and d.objid = c.oid and c.relkind in ('r', 'p', 'c')
) as o on o.object = any($1)
