-- Each other session in a transaction: its process, its age, whether it has written, and its locks on objects of the project.
select
  a.pid, extract(epoch from clock_timestamp() - a.xact_start)::float8, a.backend_xid is not null,
  array(
    select distinct l.mode || ' ' || c.relname::text from pg_locks as l
    inner join pg_class as c on l.relation = c.oid
    where l.pid = a.pid and l.granted and l.database = (select oid from pg_database where datname = current_database())
      and c.relnamespace not in ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
  )
from pg_stat_activity as a
where a.datname = current_database() and a.backend_type = 'client backend' and a.xact_start is not null
  and a.application_name not in ('shop client', 'shop watcher')
