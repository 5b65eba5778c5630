-- Foreign data wrappers without a handler: nothing can be read through them.
select
  e.extname::text as extension,
  format('create foreign data wrapper %I', w.fdwname) as statement
from pg_foreign_data_wrapper as w
left join pg_depend as d
  on w.oid = d.objid and d.classid = 'pg_foreign_data_wrapper'::regclass and d.deptype = 'e'
left join pg_extension as e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
order by w.fdwname
