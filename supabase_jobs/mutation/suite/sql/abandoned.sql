-- $1 pattern
-- Copies of runs that have ended without removing them. The session of a run is alive as long as the run is.
select d.datname::text as name
from pg_database as d
where d.datname ~ $1
  and d.datdba = current_user::regrole
  and not exists (
    select from pg_stat_activity as a
    where a.application_name = 'supabase-jobs mutate ' || substring(d.datname from $1)
  )
order by d.datname
