-- $1 tables
-- The columns of managed tables that their policies compare: they decide whose a row is.
select distinct
  format('%I.%I', n.nspname, c.relname) as table_name,
  a.attname::text as column_name
from pg_policy as p
inner join pg_depend as d on p.oid = d.objid and d.classid = 'pg_policy'::regclass and p.polrelid = d.refobjid
inner join pg_class as c on p.polrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on c.oid = a.attrelid and d.refobjsubid = a.attnum
where
  d.refclassid = 'pg_class'::regclass
  and d.refobjsubid > 0
  and format('%I.%I', n.nspname, c.relname) = any($1)
