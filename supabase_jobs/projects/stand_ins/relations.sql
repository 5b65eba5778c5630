-- The tables and views of extensions, as tables without rows.
select
  e.extname::text as extension,
  format('create table %I.%I (%s)', n.nspname, c.relname, f.fields) as statement
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_depend as d on c.oid = d.objid and d.classid = 'pg_class'::regclass and d.deptype = 'e'
inner join pg_extension as e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
cross join lateral (
  select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum) as fields
  from pg_attribute as a
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
) as f
where c.relkind in ('r', 'p', 'v', 'm', 'f')
order by n.nspname, c.relname
