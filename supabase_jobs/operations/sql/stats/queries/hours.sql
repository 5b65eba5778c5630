-- Finished jobs by the UTC hour of their last update, in the last 24 hours including the current one. Uses
-- idx_async_jobs_cleanup.
with ended as (
  select
    pg_catalog.date_trunc('hour', j.updated_at, 'UTC') as hour,
    count(*) filter (where j.status = 'completed') as completed,
    count(*) filter (where j.status = 'failed') as failed,
    count(*) filter (where j.status = 'cancelled') as cancelled
  from public.async_jobs as j
  where j.status in ('completed', 'failed', 'cancelled')
    and j.updated_at >= pg_catalog.date_trunc('hour', pg_catalog.now(), 'UTC') - interval '23 hours'
  group by pg_catalog.date_trunc('hour', j.updated_at, 'UTC')
)

select
  pg_catalog.to_char(h.hour at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"') as hour,
  coalesce(e.completed, 0) as completed,
  coalesce(e.failed, 0) as failed,
  coalesce(e.cancelled, 0) as cancelled
from pg_catalog.generate_series(
  pg_catalog.date_trunc('hour', pg_catalog.now(), 'UTC') - interval '23 hours',
  pg_catalog.date_trunc('hour', pg_catalog.now(), 'UTC'),
  interval '1 hour'
) as h (hour)
left join ended as e on h.hour = e.hour
order by h.hour
