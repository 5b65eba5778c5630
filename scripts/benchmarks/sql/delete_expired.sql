-- Delete the expired jobs in one statement. The rule of `cleanup --days 4`.
delete from public.async_jobs
where status in ('completed', 'failed', 'cancelled')
  and updated_at < now() - interval '4 days'
