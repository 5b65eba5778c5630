-- The bodies of all functions of some names.
select
  format('%I.%I', n.nspname, p.proname) as name,
  format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
  p.prosrc as body
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
where format('%I.%I', n.nspname, p.proname) = any($1)
