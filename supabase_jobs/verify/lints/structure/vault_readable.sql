-- No request, and no login of the project, can read the secrets of Vault in plain text.
-- A role reads the view if it has SELECT on it, by a grant or as a member of pg_read_all_data, and may execute every function
-- that the view calls: a view calls them as its reader. A login that has the grant itself is a warning: it may need a key.
with reader as (
  select
    r.oid,
    r.rolname
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
    or (
      r.rolcanlogin
      and not r.rolsuper
      and r.rolname not in ('authenticator', 'postgres', 'dashboard_user', 'pgbouncer', current_user)
      and r.rolname !~ '^(supabase_|cli_login_|pgsodium_)'
      -- role_memberships.sql reports who can act as another role
      and not exists (
        select from pg_roles as a
        where (a.rolname in ('service_role', 'authenticator', 'postgres') or a.rolsuper)
          and pg_has_role(r.oid, a.oid, 'member')
      )
    )
)

select
  format('%I.%I', n.nspname, c.relname) as object,
  quote_ident(r.rolname) as name,
  format('%s can read the secrets of Vault in plain text', r.rolname) as message,
  concat_ws(
    ' ',
    case when pg_has_role(r.oid, 'pg_read_all_data', 'usage') then format('revoke pg_read_all_data from %I;', r.rolname) end,
    case
      when has_table_privilege(r.oid, c.oid, 'select') and exists (
          select from aclexplode(c.relacl) as g
          where g.grantee = r.oid
        )
        then format('revoke all on table %I.%I from %I;', n.nspname, c.relname, r.rolname)
    end
  ) as fix,
  case
    when r.rolname in ('anon', 'authenticated') or pg_has_role(r.oid, 'pg_read_all_data', 'usage') then 'error'
    else 'warning'
  end as severity,
  '{}'::text[] as facts
from reader as r
cross join pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = 'vault'
  and c.relkind = 'v'
  and exists (
    select from pg_attribute as a
    where a.attrelid = c.oid and a.attname = 'decrypted_secret' and has_column_privilege(r.oid, c.oid, a.attnum, 'select')
  )
  and has_schema_privilege(r.oid, n.oid, 'usage')
  and not exists (
    select
    from pg_rewrite as w
    inner join pg_depend as d on w.oid = d.objid and d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_proc'::regclass
    where w.ev_class = c.oid
      and not has_function_privilege(r.oid, d.refobjid, 'execute')
  )
