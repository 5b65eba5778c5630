-- Every managed function sets search_path: otherwise the caller's search_path resolves the names in its body.
-- Supabase's advisor 0011.
select
  f.object,
  '' as name,
  'the function does not set search_path: the caller''s search_path resolves the names in its body' as message,
  format('alter function %s set search_path = '''';', f.object) as fix,
  'warning' as severity,
  array[f.object || ':settings', f.object || ':function'] as facts
from (
  select
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
    format('%I.%I', n.nspname, p.proname) as name,
    p.proconfig
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where p.prokind in ('f', 'p')
    and p.pronamespace <> 'pg_catalog'::regnamespace -- which has thousands of functions
) as f
where not exists (
    select 1 from unnest(f.proconfig) as c (setting)
    where c.setting like 'search\_path=%'
  )
  -- as an array, because a join would compare each name with each schema too
  and f.name = any(array(
    select split_part(s.name, '(', 1)
    from jsonb_array_elements_text($1::jsonb -> 'managed') as s (name)
    where s.name like '%(%'
  ))
