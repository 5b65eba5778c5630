-- The statements that grant roles to roles. A role has the options of all grants of it, whoever granted it. Roles that
-- read or write files of the server, run programs or connect are left out. The options inherit and set exist since
-- PostgreSQL 16, before which `with admin false` is an error.
select
  concat_ws(
    ' with ',
    format('grant %I to %I', g.rolname, m.rolname),
    nullif(
      concat_ws(
        ', ',
        case when bool_or(membership.admin_option) then 'admin option' end,
        'inherit ' || bool_or((o.options ->> 'inherit_option')::boolean)::text,
        'set ' || bool_or((o.options ->> 'set_option')::boolean)::text
      ),
      ''
    )
  ) as statement
from pg_auth_members as membership
inner join pg_roles as g on membership.roleid = g.oid
inner join pg_roles as m on membership.member = m.oid
cross join lateral (select to_jsonb(membership) as options) as o
where
  m.rolname !~ '^pg_'
  and g.rolname not in (
    'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_create_subscription'
  )
group by g.rolname, m.rolname
order by g.rolname, m.rolname
