-- Update the progress of a job that is being processed.
update public.async_jobs
set progress = progress % 100 + 1
where id = (
  select j.id
  from public.async_jobs as j
  where j.status = 'processing'
  order by j.created_at
  limit 1
)
