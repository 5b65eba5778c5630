-- $1 platform_schemas
-- Default privileges of the roles of the project. Without an entry, PUBLIC may execute functions and use types.
with entry as (
  select
    d.defaclnamespace,
    d.defaclobjtype,
    d.defaclacl,
    d.defaclrole,
    coalesce(quote_ident(n.nspname), 'all schemas') as object,
    t.name as type,
    format('alter default privileges for role %I%s', pg_get_userbyid(d.defaclrole),
      coalesce(' in schema ' || quote_ident(n.nspname), '')) as start,
    format('%s of %s', t.name, pg_get_userbyid(d.defaclrole)) as name
  from pg_default_acl as d
  inner join (values ('r', 'tables'), ('f', 'functions'), ('S', 'sequences'), ('T', 'types'), ('n', 'schemas')) as t (code, name)
    on d.defaclobjtype::text = t.code
  left join pg_namespace as n on d.defaclnamespace = n.oid
  inner join pg_roles as o on d.defaclrole = o.oid
  where (n.nspname is null or (n.nspname <> all($1) and n.nspname !~ '^pg_'))
    and o.rolname !~ '^(supabase_|pg_)'
)

select
  e.object,
  'default privileges' as kind,
  format('%s to %s', e.name, g.grantee) as name,
  '[]'::jsonb as parents,
  g.privileges as value,
  format('%s grant %s on %s to %s;', e.start, g.privileges, e.type, g.grantee) as create_sql,
  format('%s revoke all on %s from %s;', e.start, e.type, g.grantee) as drop_sql,
  null as replace_sql
from entry as e
cross join lateral (
  select
    case a.grantee when 0 then 'public' else quote_ident(r.rolname) end as grantee,
    case
      when count(*) = (
        select count(*) from aclexplode(acldefault(case e.defaclobjtype when 'S' then 's' else e.defaclobjtype end, e.defaclrole))
          as w
        where w.grantee = e.defaclrole and w.privilege_type <> 'MAINTAIN'
      )
        then 'all'
      else lower(string_agg(a.privilege_type, ', ' order by a.privilege_type))
    end as privileges
  from aclexplode(e.defaclacl) as a
  left join pg_roles as r on a.grantee = r.oid
  where a.privilege_type <> 'MAINTAIN'
    and a.grantee <> e.defaclrole
    and (a.grantee = 0 or not (r.rolsuper or r.rolname in ('postgres', 'dashboard_user', 'pgbouncer')))
    -- the built-in privilege, which a global entry repeats
    and not (e.defaclnamespace = 0 and a.grantee = 0 and e.defaclobjtype in ('f', 'T'))
  group by a.grantee, r.rolname
) as g
union all
select
  e.object,
  'default privileges',
  format('%s not to public', e.name),
  '[]',
  'revoked',
  format('%s revoke all on %s from public;', e.start, e.type),
  format('%s grant %s on %s to public;', e.start, case e.type when 'types' then 'usage' else 'execute' end, e.type),
  null
from entry as e
where e.defaclnamespace = 0
  and e.defaclobjtype in ('f', 'T')
  and not exists (
    select from aclexplode(e.defaclacl) as a
    where a.grantee = 0
  )
