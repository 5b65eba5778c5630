-- $1 schemas
-- The functions that policies of these schemas call, but for those of pg_catalog. `is_scalar`: a call returns one
-- value, so that it can stand in a sub-select.
select distinct
  n.nspname::text as schema,
  p.proname::text as name,
  p.oid::bigint as oid,
  p.prokind = 'f' and not p.proretset as is_scalar
from pg_policy as y
inner join pg_class as c on y.polrelid = c.oid
inner join pg_namespace as s on c.relnamespace = s.oid
inner join pg_depend as d on y.oid = d.objid and d.classid = 'pg_policy'::regclass
inner join pg_proc as p on d.refobjid = p.oid and d.refclassid = 'pg_proc'::regclass
inner join pg_namespace as n on p.pronamespace = n.oid
where s.nspname = any($1)
order by 1, 2, 3
