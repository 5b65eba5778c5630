-- $1 candidates
-- The jobs of these guests, so that nobody changes them from here on. Who holds a lock keeps its guest.
with jobs as materialized (
  select j.id
  from public.async_jobs as j
  where j.guest_id = any($1::pg_catalog.uuid[])
  for update skip locked
)

select
  coalesce(pg_catalog.array_agg(j.id), '{}') as held,
  extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::pg_catalog.float8 as seconds
from jobs as j
