-- supabase-jobs: 004_schedule_job_cleanup sha256:e73be138614bcb609baa3230b5f4cea7a6dae30619cf239c54c057a875fd2e3a
--! repeatable
-- Cleans up by itself, where pg_cron is installed: expired jobs first, then inactive guests, in batches that are a
-- transaction each, so that no lock is held for long and a run that is cut off loses nothing.
--
-- This file may be run as often as one likes, also by hand once pg_cron has been switched on: there is one schedule,
-- under one name, and cron.schedule of a name that is there changes its schedule and command and nothing else.
-- Where pg_cron cannot be used it says why, and succeeds; whatever else goes wrong (a malformed schedule: 22023) is
-- an error.
--
-- The command is a DO block, because only a block or a procedure without a search_path of its own may commit on its
-- way (both do under pg_cron, over a connection as in a background worker), and a block leaves no object that
-- somebody else could call. It runs as the role that applies this file. Two runs at once do no harm: both pass over
-- rows that the other has locked.
do $schedule$
declare
  job constant pg_catalog.text := 'async_jobs_cleanup';
  command constant pg_catalog.text := $cleanup$
do $$
declare
  place pg_catalog.timestamptz := '-infinity';
begin
  loop
    select c.next_from into strict place
    from private.cleanup_old_jobs(7, 1000, place) as c;
    commit;
    exit when place is null;
  end loop;
  place := '-infinity';
  loop
    select c.next_from into strict place
    from private.cleanup_inactive_guests(30, 1000, place) as c;
    commit;
    exit when place is null;
  end loop;
end
$$
$cleanup$;
  cron_schema pg_catalog.oid := (select n.oid from pg_catalog.pg_namespace as n where n.nspname = 'cron');
  missing pg_catalog.text;
begin
  begin
    if not exists (select from pg_catalog.pg_extension as e where e.extname = 'pg_cron') then
      missing := 'pg_cron is not installed in this database';
    -- its settings exist where its library is loaded, and only there
    elsif current_setting('cron.log_run', true) is null then
      missing := 'pg_cron is not among shared_preload_libraries';
    elsif cron_schema is null or not has_schema_privilege(cron_schema, 'usage') then
      missing := format('%I has no USAGE on schema cron', current_user);
    elsif to_regprocedure('cron.schedule(text, text, text)') is null then
      missing := 'this pg_cron is older than 1.3 and knows no names';
    else
      perform cron.schedule(job, '0 3 * * *', command);
      return;
    end if;
  exception
    when insufficient_privilege then
      missing := sqlerrm;
  end;

  raise notice 'no cleanup was scheduled: %', missing
    using hint = 'Run this file once more when pg_cron can be used, or run supabase-jobs cleanup from outside.';
end
$schedule$;
