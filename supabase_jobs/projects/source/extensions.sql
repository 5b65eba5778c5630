-- The extensions, in the order of their creation, and the schemas that belong to them.
select
  e.extname::text as name,
  n.nspname::text as schema,
  array(
    select s.nspname::text
    from pg_depend as d
    inner join pg_namespace as s on d.objid = s.oid
    where d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.classid = 'pg_namespace'::regclass
  ) as schemas
from pg_extension as e
inner join pg_namespace as n on e.extnamespace = n.oid
where e.extname <> 'plpgsql'
order by e.oid
