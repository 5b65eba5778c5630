-- No user function, operator or type in the search_path of a request shadows one of PostgreSQL: PostgREST and policies
-- could then use it in place of the original.
-- PostgreSQL searches pg_catalog first, so another schema wins with a better match of the types, or if a search_path
-- names pg_catalog after it, as that of a function may: only then does an operator of the same types. The objects of
-- extensions are not reported.
with searched as (
  select n.oid
  from pg_namespace as n
  where ($1::jsonb -> 'exposed') ? n.nspname
    or n.nspname = 'extensions'
    or n.nspname in (
      select btrim(s.name, ' "')
      from pg_db_role_setting as r
      cross join unnest(r.setconfig) as c (setting)
      cross join lateral string_to_table(substr(c.setting, length('pgrst.db_extra_search_path=') + 1), ',') as s (name)
      where r.setrole = to_regrole('authenticator')::oid
        and r.setdatabase in (
          0, (
            select d.oid from pg_database as d
            where d.datname = current_database()
          )
        )
        and starts_with(c.setting, 'pgrst.db_extra_search_path=')
    )
),

-- the settings in which pg_catalog comes later than other schemas
later as (
  select
    w.name,
    o.schemas
  from (
    select
      coalesce(g.rolname, 'the database') as name,
      r.setconfig as settings
    from pg_db_role_setting as r
    left join pg_roles as g on r.setrole = g.oid
    left join pg_database as d on r.setdatabase = d.oid
    where r.setdatabase = 0 or d.datname = current_database()
    union all
    select
      format('function %I.%I', n.nspname, p.proname),
      p.proconfig
    from pg_proc as p
    inner join pg_namespace as n on p.pronamespace = n.oid
    where p.proconfig is not null
  ) as w
  cross join unnest(w.settings) as c (setting)
  cross join lateral (
    select string_to_array(regexp_replace(substr(c.setting, strpos(c.setting, '=') + 1), '[\s"]', '', 'g'), ',') as schemas
  ) as o
  where split_part(c.setting, '=', 1) in ('search_path', 'pgrst.db_extra_search_path')
    and array_position(o.schemas, 'pg_catalog') > 1
),

-- the types of the columns of managed tables; once, not for each operator
used as materialized (
  select distinct a.atttypid as oid
  from pg_attribute as a
  inner join pg_class as c on a.attrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where a.attnum > 0
    and not a.attisdropped
    and ($1::jsonb -> 'managed') ? format('%I.%I', n.nspname, c.relname)
)

select
  o.object,
  '' as name,
  'the operator shadows the operator of PostgreSQL that filters and policies compare with' as message,
  format('drop operator %s;', o.object) as fix,
  'error' as severity,
  '{}'::text[] as facts
from pg_operator as p
inner join pg_namespace as n on p.oprnamespace = n.oid
cross join lateral (
  select format('%I.%s (%s, %s)', n.nspname, p.oprname,
    case p.oprleft when 0 then 'none' else format_type(p.oprleft, null) end, format_type(p.oprright, null)) as object
) as o
where p.oprnamespace in (select s.oid from searched as s)
  and not exists (
    select 1 from pg_depend as d
    where d.classid = 'pg_operator'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
  and (
    exists (
      select 1 from pg_operator as b
      where b.oprnamespace = 'pg_catalog'::regnamespace
        and (b.oprname, b.oprleft, b.oprright) = (p.oprname, p.oprleft, p.oprright)
        and exists (
          select 1 from later as l
          where array_position(l.schemas, 'pg_catalog') > array_position(l.schemas, n.nspname::text)
        )
    )
    -- compares a column of a type for which PostgreSQL uses the operator of another type (varchar, an enum, a domain)
    or exists (
      select 1 from used as u
      where u.oid in (p.oprleft, p.oprright)
        and exists (
          select 1 from pg_operator as b
          where b.oprnamespace = 'pg_catalog'::regnamespace and b.oprname = p.oprname and b.oprleft <> 0
        )
        and not exists (
          select 1 from pg_operator as b
          where b.oprnamespace = 'pg_catalog'::regnamespace
            and (b.oprname, b.oprleft, b.oprright) = (p.oprname, u.oid, u.oid)
        )
        and p.oprname in ('=', '<>', '<', '<=', '>', '>=', '~~', '~~*', '~', '~*', '!~~', '!~~*', '!~', '!~*')
    )
  )
union all
select
  f.object,
  '',
  format('the function shadows pg_catalog.%s, which PostgREST and policies call', p.proname),
  format('drop %s %s;', case p.prokind when 'a' then 'aggregate' when 'p' then 'procedure' else 'function' end, f.object),
  'error',
  '{}'
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
cross join lateral (
  select format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object
) as f
where p.pronamespace in (select s.oid from searched as s)
  and p.proname in (
    'current_setting', 'set_config', 'json_agg', 'row_to_json', 'json_build_object', 'json_to_record',
    'json_to_recordset', 'jsonb_to_record', 'jsonb_to_recordset', 'json_populate_record', 'json_populate_recordset',
    'json_array_elements', 'json_typeof'
  )
  and not exists (
    select 1 from pg_depend as d
    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
union all
select
  t.object,
  '',
  format('the %s shadows pg_catalog.%s in the search_path of %s', t.kind, t.typname, p.names),
  format('drop %s %s;', t.kind, t.object),
  'error',
  '{}'
from (
  select
    y.typname,
    n.nspname,
    case y.typtype when 'd' then 'domain' else 'type' end as kind,
    format('%I.%I', n.nspname, y.typname) as object
  from pg_type as y
  inner join pg_namespace as n on y.typnamespace = n.oid
  where n.nspname not in ('pg_catalog', 'information_schema')
    and y.typtype in ('b', 'd', 'e')
    and y.typcategory <> 'A'
    and exists (
      select 1 from pg_type as b
      where b.typnamespace = 'pg_catalog'::regnamespace and b.typname = y.typname
    )
) as t
cross join lateral (
  select string_agg(distinct l.name, ' and ') as names
  from later as l
  where array_position(l.schemas, 'pg_catalog') > array_position(l.schemas, t.nspname::text)
) as p
where p.names is not null
