-- The jobs completed in the last 24 hours with the longest time from creation to last update, which includes the time
-- in the queue. Clients write created_at, so its order with updated_at is not certain. Uses idx_async_jobs_cleanup.
select
  j.id::pg_catalog.text as id,
  extract(epoch from j.updated_at - j.created_at)::pg_catalog.float8 as seconds
from public.async_jobs as j
where j.status = 'completed'
  and j.updated_at between pg_catalog.now() - interval '24 hours' and pg_catalog.now()
  and j.created_at > '-infinity'
  and j.created_at <= j.updated_at
order by j.updated_at - j.created_at desc
limit 5
