-- $1 days
-- How many jobs public.cleanup_old_jobs($1) would delete. By idx_async_jobs_cleanup.
select count(*) as total
from public.async_jobs as j
where j.status in ('completed', 'failed', 'cancelled')
  and j.updated_at <= case $1::pg_catalog.int4
    when 0 then 'infinity'
    else pg_catalog.now() - pg_catalog.make_interval(days => least($1::pg_catalog.int4, 1000000), secs => 0.000001)
  end
