-- Settings of the role that an API connects as, and of the roles of its requests, such as a function before requests.
select
  r.rolname::text as role,
  array_to_string(s.setconfig, ', ') as settings
from pg_db_role_setting as s
inner join pg_roles as r on s.setrole = r.oid
where r.rolname in ('authenticator', 'anon', 'authenticated', 'service_role')
  and s.setdatabase in (
    select 0
    union all
    select d.oid from pg_database as d
    where d.datname = current_database()
  )
order by r.rolname, s.setdatabase
