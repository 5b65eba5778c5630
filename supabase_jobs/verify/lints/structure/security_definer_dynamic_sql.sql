-- No SECURITY DEFINER function that requests can call or fire runs dynamic SQL: a caller that controls the text controls
-- the rows. The body does not show who does, so it is tried (access), and this is a warning. Nor does any function run a query
-- as XML, which servers without libxml cannot try.
with definer as materialized (
  select
    p.oid,
    p.pronamespace,
    case
      when p.prosecdef then format('%s, who bypasses row level security', pg_get_userbyid(p.proowner))
      else 'its caller, whose statement can be set role service_role'
    end as runs_as,
    format('%I.%I', n.nspname, p.proname) as name,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
    case p.prokind when 'p' then 'procedure' else 'function' end as kind
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  inner join pg_roles as o on p.proowner = o.oid
  inner join pg_roles as s on n.nspowner = s.oid
  where p.prokind in ('f', 'p', 'w')
    and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    -- as a condition of the function itself, before its text is searched
    and p.pronamespace <> 'pg_catalog'::regnamespace
    and n.nspname <> 'information_schema'
    and p.prosrc ~* '(\mexecute\M(?!\s+(function|procedure|on)\M)|\m(query|table|cursor|schema|database)_to_xml|\mdblink|\m(crosstab|connectby|ts_stat))'
    and (p.prosecdef or p.prosrc ~* '\mquery_to_xml\w*\s*\(\s*[^''\s]')
    -- functions of the platform and of extensions
    and (
      not o.rolsuper
      or exists (
        select 1 from pg_class as c
        inner join pg_namespace as m on c.relnamespace = m.oid
        where c.relowner = p.proowner and ($1::jsonb -> 'managed') ? format('%I.%I', m.nspname, c.relname)
      )
      or (($1::jsonb -> 'exposed') ? n.nspname and not exists (
        select 1 from pg_depend as d
        inner join pg_extension as e on d.refobjid = e.oid and e.extnamespace = p.pronamespace
        where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
      ))
    )
)

select
  f.object,
  '' as name,
  format('%s can call it, and it runs dynamic SQL as %s', c.names, f.runs_as) as message,
  format('revoke execute on %s %s from public, anon, authenticated;', f.kind, f.object) as fix,
  'warning' as severity,
  -- the finding about a function that bypasses row level security on a known table covers this one
  array['dynamic sql:' || f.object] || (
    select array_agg(s.name || ':function that bypasses row level security:' || f.object)
    from jsonb_array_elements_text($1::jsonb -> 'managed') as s (name)
  ) as facts,
  true as accepted_by_name
from definer as f
cross join lateral (
  select string_agg(r.rolname, ' and ' order by r.rolname) as names
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
    and has_function_privilege(r.oid, f.oid, 'execute')
    and has_schema_privilege(r.oid, f.pronamespace, 'usage')
) as c
where c.names is not null
  and f.name not in (
    select split_part(s.name, '(', 1)
    from jsonb_array_elements_text($1::jsonb -> 'managed') as s (name)
    where s.name like '%(%'
  )
