-- A naive batch: by id, starting at the oldest index entry.
delete from public.async_jobs
where id in (
  select j.id
  from public.async_jobs as j
  where j.status in ('completed', 'failed', 'cancelled')
    and j.updated_at < now() - interval '4 days'
  order by j.updated_at
  limit 1000
)
