-- The schemas that belong to extensions.
select
  e.extname::text as extension,
  format('create schema if not exists %I authorization %I', n.nspname, pg_get_userbyid(n.nspowner)) as statement
from pg_namespace as n
inner join pg_depend as d on n.oid = d.objid and d.classid = 'pg_namespace'::regclass and d.deptype = 'e'
inner join pg_extension as e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
order by n.nspname
