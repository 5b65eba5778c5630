-- What has expired, in one statement. The same rule as `cleanup --days 4`.
delete from public.async_jobs
where status in ('completed', 'failed', 'cancelled')
  and updated_at < now() - interval '4 days'
