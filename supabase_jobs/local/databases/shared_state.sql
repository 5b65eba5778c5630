-- $1 database
-- What migrations of one database change for the others: roles, memberships, settings of roles and of other databases.
select md5(coalesce(string_agg(s.line, e'\n' order by s.line), '')) as digest
from (
  select 'role ' || to_jsonb(r)::text as line from pg_roles as r
  union all
  select 'member ' || to_jsonb(m)::text as line from pg_auth_members as m
  union all
  select 'setting ' || to_jsonb(c)::text as line
  from pg_db_role_setting as c
  where c.setdatabase <> (
    select d.oid from pg_database as d
    where d.datname = $1
  )
) as s
