-- Jobs by age: active jobs since their creation (idx_async_jobs_active), finished jobs since their last update
-- (idx_async_jobs_cleanup). Uses index-only scans.
select
  j.status as jobs,
  count(*) filter (where j.created_at > pg_catalog.now() - interval '1 hour') as under_1_hour,
  count(*) filter (
    where j.created_at <= pg_catalog.now() - interval '1 hour' and j.created_at > pg_catalog.now() - interval '1 day'
  ) as under_1_day,
  count(*) filter (
    where j.created_at <= pg_catalog.now() - interval '1 day' and j.created_at > pg_catalog.now() - interval '7 days'
  ) as under_7_days,
  count(*) filter (
    where j.created_at <= pg_catalog.now() - interval '7 days' and j.created_at > pg_catalog.now() - interval '30 days'
  ) as under_30_days,
  count(*) filter (where j.created_at <= pg_catalog.now() - interval '30 days') as older
from public.async_jobs as j
where j.status in ('queued', 'processing')
group by j.status

union all

select
  'finished' as jobs,
  count(*) filter (where j.updated_at > pg_catalog.now() - interval '1 hour') as under_1_hour,
  count(*) filter (
    where j.updated_at <= pg_catalog.now() - interval '1 hour' and j.updated_at > pg_catalog.now() - interval '1 day'
  ) as under_1_day,
  count(*) filter (
    where j.updated_at <= pg_catalog.now() - interval '1 day' and j.updated_at > pg_catalog.now() - interval '7 days'
  ) as under_7_days,
  count(*) filter (
    where j.updated_at <= pg_catalog.now() - interval '7 days' and j.updated_at > pg_catalog.now() - interval '30 days'
  ) as under_30_days,
  count(*) filter (where j.updated_at <= pg_catalog.now() - interval '30 days') as older
from public.async_jobs as j
where j.status in ('completed', 'failed', 'cancelled')
