-- Takes away everything that these migrations made: the schedule, the functions, the tables with their data. What is
-- not ours stays: a schema `private` that holds more, and whatever depends on our tables, which stops this file
-- instead of being dropped along (2BP01).

do $$
begin
  lock table public.async_jobs, public.guest_users in access exclusive mode;
  if not {{ drop_data }} and (
    exists (select from public.async_jobs)
    or exists (select from public.guest_users)
  ) then
    raise exception 'there are jobs or guests, and uninstalling deletes every one of them'
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'Take a backup, delete this file, and render it again: supabase-jobs render --uninstall --drop-data';
  end if;
end
$$;

-- The schedule of 004, where pg_cron was there to make one.
do $$
declare
  cron_schema pg_catalog.oid := (select n.oid from pg_catalog.pg_namespace as n where n.nspname = 'cron');
begin
  if not exists (select from pg_catalog.pg_extension as e where e.extname = 'pg_cron') then
    return;
  end if;
  if cron_schema is not null
    and has_schema_privilege(cron_schema, 'usage')
    and current_setting('cron.log_run', true) is not null
  then
    if exists (
      select from cron.job as j
      where j.jobname = 'async_jobs_cleanup' and j.username = current_user
    ) then
      perform cron.unschedule('async_jobs_cleanup');
    end if;
  else
    raise notice 'pg_cron cannot be used; if it has a job async_jobs_cleanup, that job stays';
  end if;
end
$$;

drop function if exists public.claim_jobs(text, integer);
drop function if exists public.heartbeat_job(uuid, text, uuid, integer);
drop function if exists public.complete_job(uuid, text, uuid, jsonb);
drop function if exists public.fail_job(uuid, text, uuid, text);
drop function if exists public.requeue_stale_jobs(interval, integer, integer);
drop function if exists private.metadata_of_finished(jsonb);
drop function if exists private.is_claimed_by(public.async_jobs, text, uuid);
drop function if exists private.metadata_retry_count(jsonb);
drop function if exists private.metadata_time(jsonb, text);

drop function if exists public.migrate_guest_jobs(uuid, uuid);
drop function if exists public.cleanup_old_jobs(integer, integer);
drop function if exists public.cleanup_inactive_guests(integer, integer);
drop function if exists private.migrate_guest_jobs(uuid, uuid);
drop function if exists private.cleanup_old_jobs(integer, integer, timestamptz);
drop function if exists private.cleanup_inactive_guests(integer, integer, timestamptz);
drop function if exists private.count_old_jobs(integer);
drop function if exists private.count_inactive_guests(integer, integer);
drop function if exists private.cleanup_cutoff(integer);

-- their policies, indexes and triggers go with them
drop table if exists public.async_jobs;
drop table if exists public.guest_users;
drop function if exists private.update_async_job_updated_at();
drop function if exists private.request_guest_id();

-- The schema only where it is ours and nothing else is in it. Where it stays, so does its use for the API's roles,
-- which may have had it before.
do $$
begin
  drop schema private;
exception
  when dependent_objects_still_exist or insufficient_privilege then
    raise notice 'schema private stays: %', sqlerrm;
end
$$;
