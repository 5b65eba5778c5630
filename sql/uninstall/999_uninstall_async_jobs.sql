-- Drops everything that these migrations created: the schedule, the functions, and the tables with their data. User
-- objects stay. A schema `private` with other objects stays. A user object that depends on these tables makes this
-- file fail (2BP01); it is not dropped.

do $$
begin
  lock table public.async_jobs, public.guest_users in access exclusive mode;
  if not {{ drop_data }} and (
    exists (select from public.async_jobs)
    or exists (select from public.guest_users)
  ) then
    raise exception 'the tables contain jobs or guests, and uninstalling deletes all of them'
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'Take a backup, delete this file, and render it again: supabase-jobs render --uninstall --drop-data';
  end if;
end
$$;

-- The schedule of 004, if pg_cron is installed.
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

{% if "005_create_worker_functions" not in excluded_sources -%}
drop function if exists public.claim_jobs(text, integer);
drop function if exists public.heartbeat_job(uuid, text, uuid, integer);
drop function if exists public.complete_job(uuid, text, uuid, jsonb);
drop function if exists public.complete_jobs(text, jsonb);
drop function if exists public.fail_jobs(text, jsonb);
drop function if exists public.fail_job(uuid, text, uuid, text);
drop function if exists public.complete_and_claim(jsonb, text, integer);
drop function if exists public.requeue_stale_jobs(interval, integer, integer);
drop function if exists private.finish_jobs(text, jsonb, text);
drop function if exists private.claim_start(text, integer);
drop function if exists private.reported_error(text);
drop function if exists private.worker_metadata(jsonb, jsonb);

{% endif -%}
drop function if exists public.migrate_guest_jobs(uuid, uuid);
drop function if exists public.cleanup_old_jobs(integer, integer);
drop function if exists public.cleanup_inactive_guests(integer, integer);
drop function if exists private.migrate_guest_jobs(uuid, uuid);
drop function if exists private.cleanup_old_jobs(integer, integer, timestamptz);
drop function if exists private.cleanup_inactive_guests(integer, integer, timestamptz);
drop function if exists private.count_old_jobs(integer);
drop function if exists private.count_inactive_guests(integer, integer);
drop function if exists private.cleanup_cutoff(integer);

-- also drops their policies, indexes and triggers
drop table if exists public.async_jobs;
drop table if exists public.guest_users;
{% if "005_create_worker_functions" not in excluded_sources -%}
drop table if exists private.worker_state;
drop function if exists private.delete_worker_state();
{% endif -%}
{% if "006_limit_job_owners" not in excluded_sources -%}
drop function if exists private.limit_reactivated_jobs();
drop function if exists private.limit_new_jobs();
drop function if exists private.check_new_jobs(uuid);
drop function if exists private.check_active_jobs(uuid, uuid);
drop function if exists private.lock_job_owner(uuid);
drop function if exists private.allow_only_cancellation();
drop function if exists private.owners_may_only_cancel();
drop function if exists private.max_owner_jobs(text);
{% endif -%}
drop function if exists private.update_async_job_updated_at();
drop function if exists private.set_async_job_times();
drop function if exists private.limit_owner_result();
drop function if exists private.set_guest_user_times();
drop function if exists private.is_valid_error(text);
drop function if exists private.is_valid_result(jsonb);
drop function if exists private.is_valid_metadata(jsonb);
drop function if exists private.is_valid_json(jsonb, integer);
drop function if exists private.max_job_bytes(text);
drop function if exists private.request_guest_id();

-- Drop the schema only if this role owns it and it is empty. Otherwise the API roles keep USAGE on it, which they may
-- have had before.
do $$
begin
  drop schema private;
exception
  when dependent_objects_still_exist or insufficient_privilege then
    raise notice 'schema private stays: %', sqlerrm;
end
$$;
