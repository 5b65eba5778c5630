-- $1 start
-- One of the next jobs that a cleanup deletes.
select
  j.id,
  j.updated_at
from public.async_jobs as j
where j.status in ('completed', 'failed', 'cancelled')
  and j.updated_at >= $1::timestamptz
  and j.updated_at < now() - interval '4 days'
order by j.updated_at
limit 1 offset 50
