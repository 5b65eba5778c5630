-- No function that requests can call builds statements with its owner's rights: whoever chooses their text chooses the rows.
-- What such a statement reaches cannot be told from the body, and so it is never passed.
select
  f.object,
  '' as name,
  format(
    '%s may call it, and it runs statements that it builds %swith the rights of %s, whom row level security does not hold',
    c.names, case when f.takes_text then 'from its arguments ' else '' end, f.owner
  ) as message,
  format('alter %s %s security invoker;', f.kind, f.object) as fix,
  case when f.takes_text then 'error' else 'warning' end as severity,
  array['builds statements:' || f.object] || t.facts as facts
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
-- where it is known what it reaches, that is said already
cross join lateral (
  select array_agg(s.name || ':function that runs as its owner:' || f.object) as facts
  from jsonb_array_elements_text($1::jsonb -> 'scope') as s (name)
) as t
where c.names is not null
  and f.name not in (
    select split_part(s.name, '(', 1)
    from jsonb_array_elements_text($1::jsonb -> 'scope') as s (name)
    where s.name like '%(%'
  )
  -- the platform's own belong to a superuser, which the owner of a project's objects is not
  and (
    not exists (
      select 1 from pg_roles as r
      where r.oid = f.proowner and r.rolsuper
    )
    or exists (
      select 1 from pg_class as o
      inner join pg_namespace as n on o.relnamespace = n.oid
      where o.relowner = f.proowner and ($1::jsonb -> 'scope') ? format('%I.%I', n.nspname, o.relname)
    )
  )
