-- A sequence for each name of a function of functions.sql. A rollback does not undo what it counts.
select distinct
  e.extname::text as extension,
  format('create sequence if not exists supabase_jobs_copy.%I', p.proname) as statement
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
inner join pg_language as l on p.prolang = l.oid
left join pg_depend as d on p.oid = d.objid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
left join pg_extension as e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
where
  p.prokind = 'f'
  and n.nspname not in ('pg_catalog', 'information_schema')
  and (e.oid is not null or l.lanname not in ('sql', 'plpgsql'))
order by statement
