-- The statements that create the roles. No role is a superuser in the copy: programs, files and other databases of the
-- machine stay out of its reach. Passwords cannot be read, and are not needed.
select
  r.rolname::text as name,
  r.rolsuper as is_superuser,
  format(
    'create role %I nosuperuser noreplication %s %s %s %s',
    r.rolname,
    case when r.rolinherit then 'inherit' else 'noinherit' end,
    case when r.rolcanlogin then 'login' else 'nologin' end,
    case when r.rolcreaterole or r.rolsuper then 'createrole' else 'nocreaterole' end,
    case when r.rolbypassrls or r.rolsuper then 'bypassrls' else 'nobypassrls' end
  ) as statement
from pg_roles as r
where r.rolname !~ '^pg_'
order by r.rolname
