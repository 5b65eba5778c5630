-- $1 platform_schemas
-- Privileges on tables, sequences, functions, schemas and types of roles other than the owner and the platform's
-- administrators. MAINTAIN is left out: PostgreSQL 17 added it to ALL, and a dump of an older version does not have it.
with target as (
  select
    format('%I.%I', n.nspname, c.relname) as object,
    case c.relkind when 'S' then 'sequence' else 'table' end as type,
    c.relowner as owner,
    coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner)) as acl,
    acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner) as whole
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and n.nspname <> all($1)
    and n.nspname !~ '^pg_'
    and not exists (
      select from pg_depend as d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and (d.deptype = 'e' or (d.deptype = 'i' and c.relkind = 'S'))
    )
  union all
  select
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')),
    case p.prokind when 'p' then 'procedure' else 'function' end,
    p.proowner,
    coalesce(p.proacl, acldefault('f', p.proowner)),
    acldefault('f', p.proowner)
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where n.nspname <> all($1)
    and n.nspname !~ '^pg_'
    and p.prokind in ('f', 'p', 'w')
    and not exists (
      select from pg_depend as d
      where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    )
  union all
  select
    format('%I', n.nspname),
    'schema',
    n.nspowner,
    coalesce(n.nspacl, acldefault('n', n.nspowner)),
    acldefault('n', n.nspowner)
  from pg_namespace as n
  where n.nspname <> all($1)
    and n.nspname !~ '^pg_'
  union all
  select
    format('%I.%I', n.nspname, t.typname),
    'type',
    t.typowner,
    coalesce(t.typacl, acldefault('T', t.typowner)),
    acldefault('T', t.typowner)
  from pg_type as t
  inner join pg_namespace as n on t.typnamespace = n.oid
  left join pg_class as c on t.typrelid = c.oid
  where n.nspname <> all($1)
    and n.nspname !~ '^pg_'
    and (t.typtype in ('e', 'd', 'r') or (t.typtype = 'c' and c.relkind = 'c'))
    and not exists (
      select from pg_depend as d
      where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e'
    )
),

granted as (
  select
    t.object,
    t.type,
    g.grantee,
    g.is_grantable,
    case
      when count(*) = w.privileges then 'all'
      else lower(string_agg(g.privilege_type, ', ' order by g.privilege_type))
    end as privileges
  from target as t
  cross join lateral (
    select count(*) as privileges
    from aclexplode(t.whole) as a
    where a.grantee = t.owner and a.privilege_type <> 'MAINTAIN'
  ) as w
  cross join lateral (
    select
      a.is_grantable,
      a.privilege_type,
      case a.grantee when 0 then 'public' else quote_ident(r.rolname) end as grantee
    from aclexplode(t.acl) as a
    left join pg_roles as r on a.grantee = r.oid
    where a.grantee <> t.owner
      and a.privilege_type <> 'MAINTAIN'
      and (a.grantee = 0 or not (r.rolsuper or r.rolname in ('postgres', 'dashboard_user', 'pgbouncer') or r.rolname ~ '^pg_'))
  ) as g
  group by t.object, t.type, t.owner, w.privileges, g.grantee, g.is_grantable
)

select
  g.object,
  'grant' as kind,
  g.grantee as name,
  '[]'::jsonb as parents,
  string_agg(g.privileges || case when g.is_grantable then ' with grant option' else '' end, '; ' order by g.is_grantable)
    as value,
  string_agg(
    format('grant %s on %s %s to %s%s;', g.privileges, g.type, g.object, g.grantee,
      case when g.is_grantable then ' with grant option' else '' end),
    E'\n' order by g.is_grantable
  ) as create_sql,
  format('revoke all on %s %s from %s;', g.type, g.object, g.grantee) as drop_sql,
  null as replace_sql
from granted as g
group by g.object, g.type, g.grantee
union all
select
  o.object,
  'grant of column',
  format('%s to %s', a.attname, x.grantee),
  jsonb_build_array(
    jsonb_build_array(o.object, 'column', a.attname), jsonb_build_array(o.object, 'grant', x.grantee)
  ),
  x.privileges,
  format('grant %s on table %s to %s;', x.each, o.object, x.grantee),
  format('revoke all (%I) on table %s from %s;', a.attname, o.object, x.grantee),
  null
from pg_attribute as a
inner join pg_class as c on a.attrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
cross join lateral (
  select
    case e.grantee when 0 then 'public' else quote_ident(r.rolname) end as grantee,
    lower(string_agg(e.privilege_type, ', ' order by e.privilege_type)) as privileges,
    string_agg(format('%s (%I)', lower(e.privilege_type), a.attname), ', ' order by e.privilege_type) as each
  from aclexplode(a.attacl) as e
  left join pg_roles as r on e.grantee = r.oid
  where e.grantee <> c.relowner
    and (e.grantee = 0 or not (r.rolsuper or r.rolname in ('postgres', 'dashboard_user', 'pgbouncer')))
  group by e.grantee, r.rolname
) as x
where n.nspname <> all($1)
  and n.nspname !~ '^pg_'
  and a.attnum > 0
  and not a.attisdropped
