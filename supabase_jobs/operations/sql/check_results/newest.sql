-- $1 size
-- The newest completed jobs, with each column that has a JSON Schema of its name, as text. Uses a backward scan of
-- idx_async_jobs_cleanup.
select
  j.id::pg_catalog.text as id,
  j.result::pg_catalog.text as result,
  j.metadata::pg_catalog.text as metadata
from public.async_jobs as j
where j.status = 'completed'
order by j.updated_at desc
limit $1::pg_catalog.int4
