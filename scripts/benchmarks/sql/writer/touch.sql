-- $1 id
-- A change of one job; where it is being deleted, this waits for the end of that transaction.
update public.async_jobs
set metadata = metadata || jsonb_build_object('seen', true)
where id = $1::uuid
