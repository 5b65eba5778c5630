-- No login of the project can act as a user by its own privileges.
-- A login needs no token. Under a policy that reads the caller from the request, it writes any caller into its session. And
-- what Auth stores lets it become a user: it writes passwords, tokens and addresses, or reads tokens and factors.
with login as (
  select
    r.oid,
    r.rolname
  from pg_roles as r
  where r.rolcanlogin
    and not r.rolsuper
    and not r.rolbypassrls
    and r.rolname not in ('authenticator', 'postgres', 'dashboard_user', 'pgbouncer', current_user)
    and r.rolname !~ '^(supabase_|cli_login_|pgsodium_)'
    -- role_memberships.sql reports who can act as another role
    and not exists (
      select 1
      from pg_roles as a
      where (
          a.rolname in ('anon', 'authenticated', 'service_role', 'authenticator', 'supabase_auth_admin')
          or a.rolsuper
        )
        and pg_has_role(r.oid, a.oid, 'member')
    )
),

-- whether row level security lets a login reach rows of a table
visible (login, relid) as (
  select
    l.oid as login,
    c.oid as relid
  from login as l
  cross join pg_class as c
  where c.relkind in ('r', 'p')
    and c.relnamespace = to_regnamespace('auth')
    and (
      not c.relrowsecurity
      or exists (
        select 1
        from pg_policy as p
        cross join unnest(p.polroles) as o (oid)
        where p.polrelid = c.oid and p.polpermissive and (o.oid = 0 or pg_has_role(l.oid, nullif(o.oid, 0), 'usage'))
      )
    )
)

select
  format('%I.%I', n.nspname, c.relname) as object,
  format('%s, policy %I', l.rolname, p.polname) as name,
  format(
    '%s can log in, and policy %I reads the caller from the request: it needs no token, and sets the claims and headers of any'
    ' caller itself', l.rolname, p.polname
  ) as message,
  format('drop policy %I on %I.%I;', p.polname, n.nspname, c.relname) as fix,
  'error' as severity,
  '{}'::text[] as facts
from pg_policy as p
inner join pg_class as c on p.polrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join unnest(p.polroles) as o (oid)
inner join login as l on o.oid <> 0 and pg_has_role(l.oid, nullif(o.oid, 0), 'usage')
where ($1::jsonb -> 'managed') ? format('%I.%I', n.nspname, c.relname)
  and p.polpermissive
  and has_any_column_privilege(l.oid, c.oid, 'select, insert, update')
  and concat(pg_get_expr(p.polqual, c.oid), ' ', pg_get_expr(p.polwithcheck, c.oid))
  ~ '(\mauth\.(uid|jwt|role|email)\(|\mcurrent_setting\()'
union all
select
  format('auth.%I', c.relname),
  l.rolname,
  format('%s can log in and %s auth.%I: it can become any user', l.rolname, w.how, c.relname),
  format('revoke all on table auth.%I from %I;', c.relname, l.rolname),
  'error',
  '{}'
from visible as v
inner join login as l on v.login = l.oid
inner join pg_class as c on v.relid = c.oid
cross join lateral (
  select
    case
      when exists (
          select 1
          from pg_attribute as a
          where a.attrelid = c.oid
            and a.attnum > 0
            and not a.attisdropped
            and a.attname ~ '(_token|^token|token_hash|password|^secret|^email|^phone|_change|provider_id|^user_id)'
            and a.attname !~ '(_at|_status)$'
            and has_column_privilege(l.oid, c.oid, a.attnum, 'update')
        )
        then 'write passwords, tokens or addresses in'
      when c.relname <> 'users'
        and exists (
          select 1
          from pg_attribute as a
          where a.attrelid = c.oid
            and a.attnum > 0
            and not a.attisdropped
            and a.attname ~ '(^token|token_hash|^secret)'
            and a.attname !~ '(_at|_type)$'
            and has_column_privilege(l.oid, c.oid, a.attnum, 'select')
        )
        then 'read tokens in'
    end as how
) as w
where c.relname in ('users', 'refresh_tokens', 'one_time_tokens', 'identities', 'mfa_factors', 'flow_state')
  and w.how is not null
