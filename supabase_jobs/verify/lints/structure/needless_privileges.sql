-- No role that a request can assume has a privilege on a database, schema, type or parameter that requests do not need.
-- CREATE lets a caller that can run SQL place objects where others look for them. The schemas of secrets, schedules and
-- migrations are for the backend. A parameter privilege allows a SET that superusers reserve, for example of
-- session_replication_role, which disables triggers. Other queries check the schemas with managed objects.
with grantee as (
  select
    0::oid as oid,
    'public' as name
  union all
  select
    r.oid,
    quote_ident(r.rolname)
  from pg_roles as r
  where r.rolname in ('authenticator', 'anon', 'authenticated', 'service_role')
    or exists (
      select 1 from pg_auth_members as m
      where m.member = to_regrole('authenticator')::oid and m.roleid = r.oid and not r.rolbypassrls and not r.rolsuper
    )
),

privilege (object, kind, target, grantee, privilege, is_error) as (
  select
    format('database %I', d.datname),
    'database',
    quote_ident(d.datname),
    a.grantee,
    a.privilege_type,
    true
  from pg_database as d
  cross join aclexplode(d.datacl) as a
  where d.datname = current_database()
    and a.privilege_type = 'CREATE'
  union all
  select
    quote_ident(n.nspname),
    'schema',
    quote_ident(n.nspname),
    a.grantee,
    a.privilege_type,
    false
  from pg_namespace as n
  cross join aclexplode(n.nspacl) as a
  where (
      a.privilege_type = 'CREATE'
      or (
        n.nspname in ('vault', 'cron', 'pgsodium', 'pgbouncer', 'supabase_migrations')
        and pg_get_userbyid(a.grantee) <> 'service_role'
      )
    )
    and a.grantee <> n.nspowner
    and n.nspname !~ '^pg_'
    -- schema_grants.sql and schemas.sql report these
    and not ($1::jsonb -> 'managed') ? quote_ident(n.nspname)
    and not exists (
      select 1 from pg_class as c
      where c.relnamespace = n.oid and ($1::jsonb -> 'managed') ? format('%I.%I', n.nspname, c.relname)
    )
  union all
  -- everybody may use a new type, so only a grant by name is reported
  select
    format('%I.%I', n.nspname, t.typname),
    'type',
    format('%I.%I', n.nspname, t.typname),
    a.grantee,
    a.privilege_type,
    false
  from pg_type as t
  inner join pg_namespace as n on t.typnamespace = n.oid
  cross join aclexplode(t.typacl) as a
  where a.grantee <> 0
    and a.grantee <> t.typowner
    and (
      ($1::jsonb -> 'managed') ? quote_ident(n.nspname)
      or ($1::jsonb -> 'managed') ? format('%I.%I', n.nspname, t.typname)
    )
  union all
  select
    concat(p.parname),
    'parameter',
    p.parname,
    a.grantee,
    a.privilege_type,
    true
  from pg_parameter_acl as p
  cross join aclexplode(p.paracl) as a
)

select
  p.object,
  g.name,
  format('%s has %s on %s %s, which no request needs', g.name, string_agg(p.privilege, ', ' order by p.privilege), p.kind, p.target)
    as message,
  format('revoke %s on %s %s from %s;', lower(string_agg(p.privilege, ', ' order by p.privilege)), p.kind, p.target, g.name)
    as fix,
  case when p.is_error then 'error' else 'warning' end as severity,
  '{}'::text[] as facts
from privilege as p
inner join grantee as g on p.grantee = g.oid
group by p.object, p.kind, p.target, p.is_error, g.name
