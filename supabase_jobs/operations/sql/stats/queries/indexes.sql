-- Size of each index, and its scans since the last reset of the statistics, least used first.
select
  i.relname as name,
  pg_catalog.format('%s.%s', n.nspname, c.relname) as on_table,
  pg_catalog.pg_relation_size(i.oid) as bytes,
  s.idx_scan as scans,
  x.indisvalid as valid
from pg_catalog.pg_index as x
inner join pg_catalog.pg_class as i on x.indexrelid = i.oid
inner join pg_catalog.pg_class as c on x.indrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
left join pg_catalog.pg_stat_all_indexes as s on i.oid = s.indexrelid
where x.indrelid in ('public.async_jobs'::pg_catalog.regclass, 'public.guest_users'::pg_catalog.regclass)
order by s.idx_scan nulls first, i.relname
