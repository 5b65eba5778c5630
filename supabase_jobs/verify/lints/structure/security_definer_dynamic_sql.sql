-- No SECURITY DEFINER function that requests can call runs dynamic SQL: a caller that controls the text controls the
-- rows. The body does not show which tables such a statement reaches.
select
  f.object,
  '' as name,
  format(
    '%s can call it, and it runs dynamic SQL%s as %s, who bypasses row level security',
    c.names, case when f.takes_text then ' built from its arguments' else '' end, f.owner
  ) as message,
  format('alter %s %s security invoker;', f.kind, f.object) as fix,
  case when f.takes_text then 'error' else 'warning' end as severity,
  array['dynamic sql:' || f.object] || t.facts as facts
from (
  select
    p.oid,
    p.pronamespace,
    p.prosrc,
    p.proowner,
    pg_get_userbyid(p.proowner) as owner,
    format('%I.%I', n.nspname, p.proname) as name,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
    case p.prokind when 'p' then 'procedure' else 'function' end as kind,
    (
      select count(*) > 0
      from unnest(p.proargtypes) as a (type)
      inner join pg_type as t on a.type = t.oid
      left join pg_type as e on t.typelem = e.oid and t.typcategory = 'A'
      where coalesce(e.typcategory, t.typcategory) = 'S'
        or coalesce(e.typname, t.typname) in ('json', 'jsonb', 'regclass')
    ) as takes_text
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where p.prosecdef
    and p.prokind in ('f', 'p')
    and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    and n.nspname not in ('pg_catalog', 'information_schema')
    and p.prosrc ~* '(\mexecute\M(?!\s+(function|procedure|on)\M)|\m(query|table|cursor|schema|database)_to_xml|\mdblink|\m(crosstab|connectby|ts_stat))'
    and not exists (
      select 1 from pg_depend as d
      where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    )
) as f
cross join lateral (
  select string_agg(r.rolname, ' and ' order by r.rolname) as names
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
    and has_function_privilege(r.oid, f.oid, 'execute')
    and has_schema_privilege(r.oid, f.pronamespace, 'usage')
) as c
-- the finding about a function that bypasses row level security on a known table covers this one
cross join lateral (
  select array_agg(s.name || ':function that bypasses row level security:' || f.object) as facts
  from jsonb_array_elements_text($1::jsonb -> 'managed') as s (name)
) as t
where c.names is not null
  and f.name not in (
    select split_part(s.name, '(', 1)
    from jsonb_array_elements_text($1::jsonb -> 'managed') as s (name)
    where s.name like '%(%'
  )
  -- functions of the platform belong to a superuser, the objects of a project do not
  and (
    not exists (
      select 1 from pg_roles as r
      where r.oid = f.proowner and r.rolsuper
    )
    or exists (
      select 1 from pg_class as o
      inner join pg_namespace as n on o.relnamespace = n.oid
      where o.relowner = f.proowner and ($1::jsonb -> 'managed') ? format('%I.%I', n.nspname, o.relname)
    )
  )
