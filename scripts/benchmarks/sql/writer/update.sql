-- $1 id
-- Update one job; waits for the end of a transaction that is deleting it.
update public.async_jobs
set metadata = metadata || jsonb_build_object('seen', true)
where id = $1::uuid
