-- The programs that are connected to this database, apart from this session.
select distinct coalesce(nullif(application_name, ''), usename::text, backend_type) as name
from pg_stat_activity
where datname = current_database()
  and pid <> pg_backend_pid()
order by 1
