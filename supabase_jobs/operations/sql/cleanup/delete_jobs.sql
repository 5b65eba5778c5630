-- $1 days, $2 size, $3 start
-- Delete one batch of expired jobs; next_start is null after the last batch. It is a text as JSON has it: the same with
-- every DateStyle, and able to hold infinity.
select
  c.deleted_count as deleted,
  pg_catalog.to_json(c.next_from) #>> '{}' as next_start,
  extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::pg_catalog.float8 as seconds
from private.cleanup_old_jobs($1::pg_catalog.int4, $2::pg_catalog.int4, $3::pg_catalog.timestamptz) as c
