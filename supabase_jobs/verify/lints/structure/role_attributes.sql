-- No role that a request can assume bypasses row level security, creates roles, or logs in without the API.
-- These are authenticator, anon, authenticated, service_role and every other role that authenticator is a member of.
-- service_role has BYPASSRLS, and authenticator has LOGIN.
select
  quote_ident(r.rolname) as object,
  '' as name,
  format(
    'requests run as this role, and it has %s%s', string_agg(a.attribute, ', ' order by a.number),
    case when bool_or(a.attribute = 'LOGIN') then ': with a password, a client sets any claim itself' else '' end
  ) as message,
  format('alter role %I %s;', r.rolname, string_agg('no' || lower(a.attribute), ' ' order by a.number)) as fix,
  -- a role of the user may log in for other purposes
  case when r.is_platform or bool_or(a.attribute <> 'LOGIN') then 'error' else 'warning' end as severity,
  '{}'::text[] as facts
from (
  select
    o.*,
    o.rolname in ('authenticator', 'anon', 'authenticated', 'service_role') as is_platform
  from pg_roles as o
) as r
cross join lateral (
  values
  (1, 'SUPERUSER', r.rolsuper),
  (2, 'BYPASSRLS', r.rolbypassrls and r.rolname <> 'service_role'),
  (3, 'CREATEROLE', r.rolcreaterole),
  (4, 'CREATEDB', r.rolcreatedb),
  (5, 'REPLICATION', r.rolreplication),
  (6, 'LOGIN', r.rolcanlogin and r.rolname <> 'authenticator')
) as a (number, attribute, has)
where a.has
  and (
    r.is_platform
    -- role_memberships.sql reports a role with BYPASSRLS, and a superuser is a member of every role
    or exists (
      select 1
      from pg_auth_members as m
      where m.member = to_regrole('authenticator')::oid and m.roleid = r.oid and not r.rolsuper and not r.rolbypassrls
    )
  )
group by r.rolname, r.is_platform
