-- $1 guest_days, $2 size, $3 start
-- Delete one batch of inactive guests with their jobs; the columns are those of delete_jobs.sql.
select
  c.deleted_count as deleted,
  pg_catalog.to_json(c.next_from) #>> '{}' as next_start,
  extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::pg_catalog.float8 as seconds
from private.cleanup_inactive_guests($1::pg_catalog.int4, $2::pg_catalog.int4, $3::pg_catalog.timestamptz) as c
