-- For a second connection: watch the transaction that holds the advisory lock `supabase_jobs.watched`. Once another
-- session has waited for 250 ms for a lock of it, cancel its statement; if it still holds its locks then, end its
-- session, whose client may no longer answer. The loop is one statement, so it does not need its own client either. It
-- ends with the transaction, or if that does not begin.
do $watch$
declare
  key constant pg_catalog.int8 := pg_catalog.current_setting('supabase_jobs.watched');
  started constant pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  watched pg_catalog.int4;
  was_seen pg_catalog.bool := false;
  cancelled pg_catalog.timestamptz;
begin
  loop
    watched := (
      select l.pid
      from pg_catalog.pg_locks as l
      where l.locktype = 'advisory'
        and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())
        and (l.classid::pg_catalog.int8 << 32) | l.objid::pg_catalog.int8 = key
        and l.objsubid = 1
        and l.granted
    );
    exit when watched is null and (was_seen or pg_catalog.clock_timestamp() > started + interval '5 seconds');
    was_seen := watched is not null;
    if cancelled is not null and pg_catalog.clock_timestamp() > cancelled + interval '250 milliseconds' then
      perform pg_catalog.pg_terminate_backend(watched);
      exit;
    end if;
    if cancelled is null and exists (
      select
      from pg_catalog.pg_locks as w
      where not w.granted
        and w.waitstart < pg_catalog.clock_timestamp() - interval '250 milliseconds'
        and watched = any (pg_catalog.pg_blocking_pids(w.pid))
    ) then
      perform pg_catalog.pg_cancel_backend(watched);
      cancelled := pg_catalog.clock_timestamp();
      raise info 'gave way';
    end if;
    perform pg_catalog.pg_sleep(0.02);
  end loop;
end
$watch$
