-- The database that is copied, its owner, and the version of its server.
select
  current_database()::text as name,
  pg_get_userbyid(d.datdba)::text as owner,
  current_setting('server_version_num')::integer / 10000 as major
from pg_database as d
where d.datname = current_database()
