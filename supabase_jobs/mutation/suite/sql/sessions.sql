-- $1 databases
-- The number of sessions that these databases have had.
select coalesce(sum(sessions), 0)::bigint as sessions
from pg_stat_database
where datname = any($1)
