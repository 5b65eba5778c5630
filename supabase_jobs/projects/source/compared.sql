-- What decides who can do what, object by object, as the original has it and the copy should: `part` names a property.
-- Members of extensions are left out, because the copy has stand-ins. Expressions are compared without blanks,
-- parentheses and casts: versions print them differently, and a restored cast of an array is one of its elements.
-- MAINTAIN is left out: it exists since PostgreSQL 17.
with schemas as (
  select
    n.oid,
    n.nspname,
    n.nspowner,
    n.nspacl
  from pg_namespace as n
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'supabase_jobs_copy')
),

members as (
  select
    d.classid,
    d.objid
  from pg_depend as d
  where d.deptype = 'e'
),

relations as (
  select
    c.oid,
    format('%s.%s', n.nspname, c.relname) as object,
    c.relkind,
    c.relowner,
    c.relacl,
    c.relrowsecurity,
    c.relforcerowsecurity,
    c.relispartition,
    c.reloptions
  from pg_class as c
  inner join schemas as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and not exists (
      select from members as m
      where m.classid = 'pg_class'::regclass and m.objid = c.oid
    )
),

functions as (
  select
    p.*,
    format('%s.%s(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object
  from pg_proc as p
  inner join schemas as n on p.pronamespace = n.oid
  where not exists (
    select from members as m
    where m.classid = 'pg_proc'::regclass and m.objid = p.oid
  )
),

acls as (
  select
    r.object,
    'privileges' as part,
    r.relowner as owner,
    coalesce(r.relacl, acldefault(case r.relkind when 'S' then 's' else 'r' end::"char", r.relowner)) as acl
  from relations as r

  union all

  select
    r.object,
    format('privileges on column %s', a.attname),
    r.relowner,
    a.attacl
  from relations as r
  inner join pg_attribute as a on r.oid = a.attrelid
  where a.attnum > 0 and not a.attisdropped and a.attacl is not null

  union all

  select
    f.object,
    'privileges',
    f.proowner,
    coalesce(f.proacl, acldefault('f', f.proowner))
  from functions as f

  union all

  select
    n.nspname::text,
    'privileges',
    n.nspowner,
    coalesce(n.nspacl, acldefault('n', n.nspowner))
  from schemas as n
  where not exists (
    select from members as m
    where m.classid = 'pg_namespace'::regclass and m.objid = n.oid
  )

  union all

  select
    format('%s.%s', n.nspname, t.typname),
    'privileges',
    t.typowner,
    coalesce(t.typacl, acldefault('T', t.typowner))
  from pg_type as t
  inner join schemas as n on t.typnamespace = n.oid
  where t.typtype in ('e', 'd', 'r')
    and not exists (
      select from members as m
      where m.classid = 'pg_type'::regclass and m.objid = t.oid
    )

  union all

  select
    'database',
    'privileges',
    d.datdba,
    coalesce(d.datacl, acldefault('d', d.datdba))
  from pg_database as d
  where d.datname = current_database()

  union all

  select
    format('default privileges of %s in %s', pg_get_userbyid(d.defaclrole), coalesce(n.nspname, 'all schemas')),
    d.defaclobjtype::text,
    d.defaclrole,
    d.defaclacl
  from pg_default_acl as d
  left join schemas as n on d.defaclnamespace = n.oid
  where d.defaclnamespace = 0 or n.oid is not null

  union all

  -- those that differ from the ones of a new server
  select
    format('pg_catalog.%s(%s)', p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')),
    'privileges',
    p.proowner,
    coalesce(p.proacl, acldefault('f', p.proowner))
  from pg_proc as p
  left join pg_init_privs as i on p.oid = i.objoid and i.classoid = 'pg_proc'::regclass
  where p.pronamespace = 'pg_catalog'::regnamespace and p.proacl is distinct from i.initprivs

  union all

  select
    format('%s.%s', n.nspname, c.relname),
    'privileges',
    c.relowner,
    coalesce(c.relacl, acldefault('r', c.relowner))
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  left join pg_init_privs as i on c.oid = i.objoid and i.classoid = 'pg_class'::regclass and i.objsubid = 0
  where n.nspname in ('pg_catalog', 'information_schema') and c.relkind in ('r', 'v')
    and c.relacl is distinct from i.initprivs

  union all

  select
    format('parameter %s', p.parname),
    'privileges',
    10,
    p.paracl
  from pg_parameter_acl as p
  -- the owner of a copy may always set it
  where p.parname <> 'session_replication_role'
),

expressions as (
  select
    format('%s.%s', n.nspname, c.relname) as object,
    format('policy %s', p.polname) as part,
    concat_ws(
      ' ',
      p.polpermissive,
      p.polcmd,
      (
        select string_agg(coalesce(pg_get_userbyid(nullif(r.oid, 0))::text, 'public'), ',' order by r.oid)
        from unnest(p.polroles) as r (oid)
      ),
      'using',
      pg_get_expr(p.polqual, p.polrelid),
      'check',
      pg_get_expr(p.polwithcheck, p.polrelid)
    ) as value
  from pg_policy as p
  inner join pg_class as c on p.polrelid = c.oid
  inner join schemas as n on c.relnamespace = n.oid

  union all

  select
    r.object,
    format('column %s', a.attname),
    concat_ws(
      ' ',
      format_type(a.atttypid, a.atttypmod),
      a.attnotnull,
      a.attidentity,
      a.attgenerated,
      pg_get_expr(d.adbin, d.adrelid)
    )
  from relations as r
  inner join pg_attribute as a on r.oid = a.attrelid
  left join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
  where a.attnum > 0 and not a.attisdropped and r.relkind <> 'S'

  union all

  select
    f.object,
    'definition',
    pg_get_function_sqlbody(f.oid)
  from functions as f
  where f.prosqlbody is not null
),

parts as (
  select
    a.object,
    a.part,
    string_agg(
      concat_ws(
        ' ',
        case
          when x.grantee = 0 then 'public'
          when x.grantee = a.owner then 'owner'
          else pg_get_userbyid(x.grantee)
        end,
        x.privilege_type,
        case when x.is_grantable and x.grantee <> a.owner then 'with grant option' end
      ),
      ', ' order by x.grantee = 0, pg_get_userbyid(x.grantee), x.privilege_type
    ) as value
  from acls as a
  left join lateral aclexplode(a.acl) as x on x.privilege_type <> 'MAINTAIN'
  group by a.object, a.part

  union all

  select
    e.object,
    e.part,
    regexp_replace(
      regexp_replace(e.value, '[\s()]', '', 'g'),
      '::("[^"]*"|[a-z0-9_.])+(\[])*',
      '',
      'g'
    )
  from expressions as e

  union all

  select
    r.object,
    'table or view',
    concat_ws(
      ' ',
      r.relkind,
      pg_get_userbyid(r.relowner),
      r.relispartition,
      'row security',
      r.relrowsecurity,
      r.relforcerowsecurity,
      (
        select string_agg(o.option, ',' order by o.option)
        from unnest(r.reloptions) as o (option)
        where o.option like 'security%' or o.option like 'check%'
      )
    )
  from relations as r

  union all

  select
    f.object,
    'function',
    concat_ws(
      ' ',
      f.prokind,
      l.lanname,
      -- the copy lets the owner of the database run them
      case when f.prorettype <> 'event_trigger'::regtype then concat_ws(' ', pg_get_userbyid(f.proowner), f.prosecdef) end,
      f.provolatile,
      f.proisstrict,
      f.proconfig,
      f.proretset,
      format_type(f.prorettype, null),
      md5(f.prosrc)
    )
  from functions as f
  inner join pg_language as l on f.prolang = l.oid

  union all

  select
    r.object,
    format('constraint %s', k.conname),
    concat_ws(' ', k.contype, k.convalidated, k.condeferrable)
  from relations as r
  inner join pg_constraint as k on r.oid = k.conrelid
  -- NOT NULL is one since PostgreSQL 18
  where k.contype in ('p', 'u', 'f', 'c', 'x')

  union all

  select
    r.object,
    format('trigger %s', t.tgname),
    concat_ws(' ', t.tgtype, t.tgenabled, t.tgfoid::regproc)
  from relations as r
  inner join pg_trigger as t on r.oid = t.tgrelid
  where not t.tgisinternal

  union all

  -- a dump does not say that they are disabled
  select
    r.object,
    format('foreign key %s is not checked', k.conname),
    string_agg(t.tgenabled, '' order by t.oid)
  from relations as r
  inner join pg_trigger as t on r.oid = t.tgrelid
  inner join pg_constraint as k on t.tgconstraint = k.oid
  where t.tgisinternal and t.tgenabled <> 'O'
  group by r.object, k.conname

  union all

  select
    format('event trigger %s', e.evtname),
    e.evtevent::text,
    concat_ws(' ', e.evtfoid::regproc, e.evttags, e.evtenabled)
  from pg_event_trigger as e

  union all

  -- no role is a superuser in the copy
  select
    format('role %s', r.rolname),
    'attributes',
    concat_ws(' ', r.rolinherit, r.rolcanlogin, r.rolcreaterole or r.rolsuper, r.rolbypassrls or r.rolsuper)
  from pg_roles as r
  where r.rolname !~ '^pg_'

  union all

  -- of several grantors together; the columns of the last two options exist since PostgreSQL 16
  select
    format('role %s', m.rolname),
    format('member of %s', g.rolname),
    concat_ws(
      ' ',
      bool_or(membership.admin_option),
      bool_or(coalesce((o.options ->> 'inherit_option')::boolean, m.rolinherit)),
      bool_or(coalesce((o.options ->> 'set_option')::boolean, true))
    )
  from pg_auth_members as membership
  inner join pg_roles as g on membership.roleid = g.oid
  inner join pg_roles as m on membership.member = m.oid
  cross join lateral (select to_jsonb(membership) as options) as o
  where m.rolname !~ '^pg_'
  group by m.rolname, g.rolname

  union all

  select
    case when s.setrole = 0 then 'database' else format('role %s', r.rolname) end,
    format(
      'setting %s%s',
      lower(split_part(c.setting, '=', 1)),
      case when s.setrole <> 0 and s.setdatabase <> 0 then ' in this database' end
    ),
    substring(c.setting from '=(.*)$')
  from pg_db_role_setting as s
  left join pg_roles as r on s.setrole = r.oid
  left join pg_database as d on s.setdatabase = d.oid
  cross join unnest(s.setconfig) as c (setting)
  where
    (s.setdatabase = 0 or d.datname = current_database())
    and (s.setrole = 0 or r.rolname !~ '^pg_')
    and c.setting !~ '^\w+_preload_libraries='
)

select
  p.object,
  p.part,
  coalesce(p.value, '') as value
from parts as p
order by p.object, p.part
