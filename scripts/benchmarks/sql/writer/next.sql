-- $1 after
-- A job that is about to be deleted, or is being deleted just now.
select
  j.id,
  j.updated_at
from public.async_jobs as j
where j.status in ('completed', 'failed', 'cancelled')
  and j.updated_at >= $1::timestamptz
  and j.updated_at < now() - interval '4 days'
order by j.updated_at
limit 1 offset 50
