-- Definitions of the functions with the names in $1, as CREATE statements.
select
  format('%I.%I', n.nspname, p.proname) as name,
  format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
  n.nspname as schema,
  pg_get_functiondef(p.oid) as definition
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
where format('%I.%I', n.nspname, p.proname) = any($1)
  and p.prokind in ('f', 'p')
  and p.pronamespace <> 'pg_catalog'::regnamespace -- which has thousands of functions
