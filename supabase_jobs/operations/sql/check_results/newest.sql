-- $1 size
-- The jobs completed last, with the columns that have a schema of their name, as texts. By idx_async_jobs_cleanup,
-- backwards.
select
  j.id::pg_catalog.text as id,
  j.result::pg_catalog.text as result,
  j.metadata::pg_catalog.text as metadata
from public.async_jobs as j
where j.status = 'completed'
order by j.updated_at desc
limit $1::pg_catalog.int4
