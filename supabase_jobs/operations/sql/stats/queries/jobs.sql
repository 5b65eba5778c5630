-- Jobs by status. Uses an index-only scan of idx_async_jobs_status.
select
  s.status,
  coalesce(c.jobs, 0) as jobs
from pg_catalog.unnest(array['queued', 'processing', 'completed', 'failed', 'cancelled']) with ordinality as s (status, place)
left join (
  select
    j.status,
    count(*) as jobs
  from public.async_jobs as j
  group by j.status
) as c on s.status = c.status
order by s.place
