do $watch$
-- Ends the session of pg_dump if another session waits for it, if its client stands still, or if it takes too long.
-- It does not wait for a session that never comes: its client may have been stopped before it connected.
-- It runs on the server, so it works although the client is stopped, asleep or unreachable. pg_dump sets its own
-- timeouts to 0. The settings of supabase_jobs hold the name of the session and, at the end, why it was ended.
declare
  wanted constant text := current_setting('supabase_jobs.watched');
  still constant interval := current_setting('supabase_jobs.watch_still');
  appears constant timestamptz := clock_timestamp() + current_setting('supabase_jobs.watch_connect')::interval;
  ends constant timestamptz := clock_timestamp() + current_setting('supabase_jobs.watch_limit')::interval;
  seen boolean := false;
  reason text;
  session record;
begin
  perform set_config('supabase_jobs.watch_result', 'unseen', false);
  loop
    perform pg_stat_clear_snapshot();
    select a.pid, a.state, a.wait_event_type, a.state_change, a.query_start
    into session
    from pg_stat_activity as a
    where a.application_name = wanted and a.usename = current_user and a.pid <> pg_backend_pid();
    if not found then
      exit when seen or clock_timestamp() > appears;
      perform pg_sleep(0.02);
      continue;
    end if;
    seen := true;
    reason := case
      when exists (
        select from pg_locks as l where not l.granted and session.pid = any (pg_blocking_pids(l.pid))
      ) then 'blocking'
      when session.state like 'idle%' and clock_timestamp() - session.state_change > still then 'still'
      when session.state = 'active' and session.wait_event_type = 'Client'
        and clock_timestamp() - session.query_start > still then 'still'
      when clock_timestamp() > ends then 'slow'
    end;
    if reason is not null then
      perform set_config('supabase_jobs.watch_result', reason, false);
      perform pg_terminate_backend(session.pid);
      return;
    end if;
    perform pg_sleep(0.02);
  end loop;
  perform set_config('supabase_jobs.watch_result', case when seen then 'ended' else 'absent' end, false);
end;
$watch$
