-- Tables that this role may not lock in ACCESS SHARE mode, so that pg_dump must leave them out, each as a pattern.
-- Members of extensions are not dumped anyway.
select
  format('"%s"."%s"', replace(n.nspname, '"', '""'), replace(c.relname, '"', '""')) as pattern,
  format('%I.%I', n.nspname, c.relname) as name
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
  c.relkind in ('r', 'p')
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not (has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
order by n.nspname, c.relname
