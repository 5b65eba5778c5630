-- The expired jobs.
select j.id
from public.async_jobs as j
where j.status in ('completed', 'failed', 'cancelled')
  and j.updated_at < now() - interval '4 days'
