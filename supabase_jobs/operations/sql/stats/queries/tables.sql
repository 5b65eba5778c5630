-- Sizes of the tables, and the work of autovacuum. rows is an estimate, null before the first vacuum or analyze.
select
  pg_catalog.format('%s.%s', n.nspname, c.relname) as name,
  nullif(c.reltuples, -1)::pg_catalog.int8 as rows,
  pg_catalog.pg_table_size(c.oid) as bytes,
  pg_catalog.pg_indexes_size(c.oid) as index_bytes,
  s.n_dead_tup as dead_rows,
  pg_catalog.to_char(
    greatest(s.last_vacuum, s.last_autovacuum) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"'
  ) as vacuumed,
  pg_catalog.to_char(
    greatest(s.last_analyze, s.last_autoanalyze) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"'
  ) as analyzed
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
left join pg_catalog.pg_stat_all_tables as s on c.oid = s.relid
where c.oid in ('public.async_jobs'::pg_catalog.regclass, 'public.guest_users'::pg_catalog.regclass)
order by c.relname
