-- supabase-jobs: 004_schedule_job_cleanup sha256:572343ee5384a4e3215dedab9e5e55dba889cdc9d51b3d1e59d1d48d650a3166
--! repeatable
-- Schedules the cleanup if pg_cron is installed: first expired jobs, then inactive guests. Each batch is one
-- transaction, so locks are short and an interrupted run keeps its completed batches.
--
-- This file can be run repeatedly, also by hand after pg_cron was enabled. There is one cron job, found by its name:
-- cron.schedule only updates its schedule and command. If pg_cron cannot be used, the file raises a notice with the
-- reason and succeeds. Any other problem (a malformed schedule: 22023) is an error.
--
-- The command is a DO block: only a block, or a procedure without a search_path of its own, can commit between
-- batches. This works in pg_cron over a connection and in a background worker. A block leaves no object that another
-- role could call. It runs as the role that applies this file. Concurrent runs are harmless: each skips rows that the
-- other has locked.
--
-- The block is one statement for statement_timeout, which cannot be changed for a running statement. A `set` before the
-- block would prevent its commits. So a run ends when half of the timeout has passed for jobs, and three quarters for
-- guests; the next run continues.
do $schedule$
declare
  job constant pg_catalog.text := 'async_jobs_cleanup';
  command constant pg_catalog.text := $cleanup$
do $$
declare
  next_start pg_catalog.timestamptz := '-infinity';
  started constant pg_catalog.timestamptz := clock_timestamp();
  -- null: no timeout
  timeout constant pg_catalog.interval := nullif(current_setting('statement_timeout')::pg_catalog.interval, '0');
begin
  loop
    select c.next_from into strict next_start
    from private.cleanup_old_jobs(7, 1000, next_start) as c;
    commit;
    exit when next_start is null or clock_timestamp() - started > timeout * 0.5;
  end loop;
  next_start := '-infinity';
  loop
    select c.next_from into strict next_start
    from private.cleanup_inactive_guests(30, 1000, next_start) as c;
    commit;
    exit when next_start is null or clock_timestamp() - started > timeout * 0.75;
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
    -- its settings exist only if its library is loaded
    elsif current_setting('cron.log_run', true) is null then
      missing := 'pg_cron is not among shared_preload_libraries';
    elsif cron_schema is null or not has_schema_privilege(cron_schema, 'usage') then
      missing := format('%I has no USAGE on schema cron', current_user);
    elsif to_regprocedure('cron.schedule(text, text, text)') is null then
      missing := 'pg_cron is older than 1.3 and does not support job names';
    else
      perform cron.schedule(job, '0 3 * * *', command);
      return;
    end if;
  exception
    when insufficient_privilege then
      missing := sqlerrm;
  end;

  raise notice 'no cleanup was scheduled: %', missing
    using hint = 'Run this file again when pg_cron can be used, or schedule supabase-jobs cleanup elsewhere.';
end
$schedule$;
