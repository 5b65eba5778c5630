-- $1 days
-- Count the jobs that delete_jobs.sql would delete.
select private.count_old_jobs($1::pg_catalog.int4) as total
