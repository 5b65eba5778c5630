alter policy "guests read their own jobs" on public.async_jobs using (true)
