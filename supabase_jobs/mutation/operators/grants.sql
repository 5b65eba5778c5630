-- Privileges of PUBLIC and the API's roles on tables, columns, schemas and functions: each missing privilege is
-- granted, each existing one is revoked, or granted with grant option.
with role as (
  select
    r.name,
    case r.name when 'public' then 0::oid else to_regrole(r.name)::oid end as oid
  from unnest(array['public', 'anon', 'authenticated', 'service_role']) as r (name)
  where r.name = 'public' or to_regrole(r.name) is not null
),

target as (
  select
    'table' as kind,
    format('%I.%I', n.nspname, c.relname) as object,
    coalesce(c.relacl, acldefault('r', c.relowner)) as acl,
    acldefault('r', c.relowner) as owners
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
  union all
  select
    'schema',
    format('%I', n.nspname),
    coalesce(n.nspacl, acldefault('n', n.nspowner)),
    acldefault('n', n.nspowner)
  from pg_namespace as n
  union all
  select
    'function',
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')),
    coalesce(p.proacl, acldefault('f', p.proowner)),
    acldefault('f', p.proowner)
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
),

whole as (
  select
    t.kind,
    t.object,
    e.privilege,
    r.name as grantee,
    r.oid in (
      select a.grantee from aclexplode(t.acl) as a
      where a.privilege_type = e.privilege
    ) as held
  from target as t
  cross join lateral (
    select distinct a.privilege_type as privilege
    from aclexplode(t.owners) as a
  ) as e
  cross join role as r
  where t.object = any($1)
),

single as (
  select
    format('%I.%I', n.nspname, c.relname) as object,
    a.attname,
    p.privilege,
    r.name as grantee,
    r.oid in (
      select x.grantee from aclexplode(a.attacl) as x
      where x.privilege_type = p.privilege
    ) as held,
    has_column_privilege(r.name, c.oid, a.attnum, p.privilege) as effective
  from pg_attribute as a
  inner join pg_class as c on a.attrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) as p (privilege)
  cross join role as r
  where format('%I.%I', n.nspname, c.relname) = any($1)
    and c.relkind <> 'c' -- a composite type has no column privileges
    and a.attnum > 0
    and not a.attisdropped
)

select
  array[case when w.held then 'revoke' else 'grant' end, w.object, w.privilege, w.grantee] as id,
  w.object,
  format('%s %s', w.privilege, case when w.held then 'revoked from ' else 'granted to ' end) || w.grantee as description,
  format(case when w.held then 'revoke %s on %s %s from %s;' else 'grant %s on %s %s to %s;' end,
    w.privilege, w.kind, w.object, w.grantee) as sql
from whole as w
union all
select
  array['grant-option', w.object, w.privilege, w.grantee],
  w.object,
  format('%s granted to %s with grant option', w.privilege, w.grantee),
  format('grant %s on %s %s to %s with grant option;', w.privilege, w.kind, w.object, w.grantee)
from whole as w
where w.held and w.grantee <> 'public'
union all
select
  array['grant-option-column', s.object, s.attname, s.privilege, s.grantee],
  s.object,
  format('%s of column "%s" granted to %s with grant option', s.privilege, s.attname, s.grantee),
  format('grant %s (%I) on table %s to %s with grant option;', s.privilege, s.attname, s.object, s.grantee)
from single as s
where s.held and s.grantee <> 'public'
union all
select
  array[case when s.held then 'revoke' else 'grant' end || '-column', s.object, s.attname, s.privilege, s.grantee],
  s.object,
  format('%s of column "%s" %s', s.privilege, s.attname, case when s.held then 'revoked from ' else 'granted to ' end)
  || s.grantee,
  format(case when s.held then 'revoke %s (%I) on table %s from %s;' else 'grant %s (%I) on table %s to %s;' end,
    s.privilege, s.attname, s.object, s.grantee)
from single as s
where s.held or not s.effective
