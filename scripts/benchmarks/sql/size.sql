-- The bytes of the table of jobs, its partitions and indexes.
select sum(pg_total_relation_size(p.relid))::bigint as bytes
from pg_partition_tree('public.async_jobs') as p
