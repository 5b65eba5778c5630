-- The database that is copied, and its owner.
select
  current_database()::text as name,
  pg_get_userbyid(d.datdba)::text as owner
from pg_database as d
where d.datname = current_database()
