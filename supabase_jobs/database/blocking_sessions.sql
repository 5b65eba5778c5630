-- The tables that other sessions have locked against reading or writing, with each session: what may have blocked a
-- statement that has just failed.
select
  format('%I.%I', n.nspname, c.relname) as "table",
  l.mode,
  a.pid,
  coalesce(nullif(a.application_name, ''), 'no name') as application_name,
  coalesce(a.state, 'state not visible') as state,
  coalesce(extract(epoch from clock_timestamp() - a.xact_start), 0)::float8 as seconds,
  coalesce(a.query, '') as query
from pg_locks as l
inner join pg_database as d on l.database = d.oid
inner join pg_class as c on l.relation = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_stat_activity as a on l.pid = a.pid
where l.locktype = 'relation'
  and l.granted
  and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  and d.datname = current_database()
  and c.relkind in ('r', 'p', 'm')
  and l.pid <> pg_backend_pid()
order by a.xact_start, "table", l.mode
limit 5
