-- The functions of pg_catalog whose result differs in each call.
select distinct p.proname::text as name
from pg_proc as p
where p.pronamespace = 'pg_catalog'::regnamespace
  and p.provolatile = 'v'
order by 1
