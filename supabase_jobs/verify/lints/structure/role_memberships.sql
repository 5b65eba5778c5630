-- No role but authenticator and those of the platform is a member of a role that bypasses row level security.
-- A member can run SET ROLE, also if it is NOINHERIT. Such roles are service_role, superusers, roles with BYPASSRLS, the
-- owners of managed tables and of auth.users, authenticator, which can switch to service_role, and for a role that a request can assume the
-- predefined roles: those that read or write all data, read or write files, or run programs; the others are warnings.
-- Other logins with BYPASSRLS, or that write everything, are warnings; those that reach files or run programs are errors,
-- because the files of the server hold every row.
-- Nor can a login other than authenticator act as anon or authenticated, directly or through other roles: without a token,
-- it writes the claims and headers of any caller into its session. With the admin option, it gives itself the rest.
with owner as (
  select distinct c.relowner as oid
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where ($1::jsonb -> 'managed') ? format('%I.%I', n.nspname, c.relname)
    or c.oid = to_regclass('auth.users')
),

api as (
  select r.oid
  from pg_roles as r
  where r.rolname in ('authenticator', 'anon', 'authenticated', 'service_role')
    or exists (
      select 1 from pg_auth_members as m
      where m.member = to_regrole('authenticator')::oid and m.roleid = r.oid and not r.rolbypassrls and not r.rolsuper
    )
)

select distinct
  quote_ident(r.rolname) as object,
  quote_ident(g.rolname) as name,
  format(
    '%s is a member and can run set role %I%s', g.rolname, r.rolname,
    case
      when r.rolsuper then ', a superuser'
      when r.rolname = 'authenticator' then ', which can switch to service_role'
      when r.rolname like 'pg\_%' then ', whose privileges ignore those of tables and sessions'
      when r.rolbypassrls then ', which bypasses row level security'
      when r.rolname = 'supabase_auth_admin' then ', which writes passwords and tokens of every user'
      else ', the owner of managed tables, who bypasses row level security'
    end
  ) as message,
  format('revoke %I from %I;', r.rolname, g.rolname) as fix,
  case
    when r.rolname like 'pg\_%'
      and r.rolname not in (
        'pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
        'pg_execute_server_program'
      ) then 'warning'
    else 'error'
  end as severity,
  array['member:' || quote_ident(g.rolname)] as facts,
  true as accepted_by_name
from pg_auth_members as m
inner join pg_roles as r on m.roleid = r.oid
inner join pg_roles as g on m.member = g.oid
where (
    r.rolsuper
    or r.rolbypassrls
    or r.rolname in ('service_role', 'authenticator')
    or r.oid in (select o.oid from owner as o)
    or (
      g.oid in (select a.oid from api as a)
      and r.rolname like 'pg\_%'
    )
  )
  -- role_attributes.sql reports anon or authenticated with BYPASSRLS
  and not (r.rolname in ('anon', 'authenticated', 'service_role') and g.rolname = 'authenticator')
  and not g.rolsuper
  and g.oid not in (select o.oid from owner as o)
  and g.rolname <> 'postgres'
  and g.rolname <> current_user
  -- the services and tools of the platform
  and g.rolname !~ '^(supabase_|cli_login_|pgsodium_)'
  and g.rolname not in ('dashboard_user', 'pgbouncer')
  -- PostgreSQL 16: a membership that gives nothing
  and not (
    coalesce((to_jsonb(m) ->> 'set_option')::boolean, true) = false
    and coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true) = false
    and not m.admin_option
  )
union all
select
  quote_ident(a.rolname),
  quote_ident(l.rolname),
  format(
    '%s can log in and act as %s: it needs no token, and sets the claims and headers of any caller itself',
    l.rolname, a.rolname
  ),
  (
    select string_agg(format('revoke %I from %I;', r.rolname, l.rolname), ' ' order by r.rolname)
    from pg_auth_members as m
    inner join pg_roles as r on m.roleid = r.oid
    where m.member = l.oid
      and pg_has_role(r.oid, a.oid, 'member')
  ),
  'error',
  array['member:' || quote_ident(l.rolname)],
  true
from pg_roles as l
inner join pg_roles as a on a.rolname in ('anon', 'authenticated') and l.oid <> a.oid
where l.rolcanlogin
  and not l.rolsuper
  and (
    pg_has_role(
      l.oid, a.oid, case when current_setting('server_version_num')::integer >= 160000 then 'SET' else 'MEMBER' end
    )
    or pg_has_role(l.oid, a.oid, 'USAGE')
    or pg_has_role(l.oid, a.oid, 'MEMBER WITH ADMIN OPTION')
  )
  -- who can switch to service_role or an owner is reported for that
  and not pg_has_role(l.oid, to_regrole('service_role')::oid, 'member')
  and not exists (
    select 1 from owner as o
    where pg_has_role(l.oid, o.oid, 'member')
  )
  and l.rolname not in ('authenticator', 'postgres', 'dashboard_user', 'pgbouncer', current_user)
  and l.rolname !~ '^(supabase_|cli_login_|pgsodium_)'
union all
select
  quote_ident(p.rolname),
  quote_ident(l.rolname),
  case
    when p.rolname in ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
      then format('%s can log in, and is a member of %s: the files of the server hold every row', l.rolname, p.rolname)
    else format('%s can log in, and reads or writes jobs, ids of guests, and password hashes and tokens of Auth', l.rolname)
  end,
  case
    when p.oid = l.oid then format('alter role %I nobypassrls;', l.rolname)
    else format('revoke %I from %I;', p.rolname, l.rolname)
  end,
  case
    when p.rolname in ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program') then 'error'
    else 'warning'
  end,
  array['member:' || quote_ident(l.rolname)],
  true
from pg_roles as l
inner join pg_roles as p
  on l.oid = p.oid and l.rolbypassrls
    or p.rolname in (
      'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'
    ) and pg_has_role(l.oid, p.oid, 'member')
where l.rolcanlogin
  and not l.rolsuper
  and l.oid not in (select a.oid from api as a)
  and l.oid not in (select o.oid from owner as o)
  and l.rolname not in ('postgres', 'dashboard_user', 'pgbouncer', current_user)
  and l.rolname !~ '^(supabase_|cli_login_|pgsodium_)'
