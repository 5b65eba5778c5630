-- No managed function in an exposed schema is SECURITY DEFINER: it runs as its owner, who bypasses row level security.
-- Supabase's advisors 0028 and 0029. A SECURITY DEFINER body in a schema that is not exposed is allowed.
select
  f.object,
  '' as name,
  format('%s can call it through the API, and it runs as %s, who bypasses row level security', f.callers, f.owner)
    as message,
  format('alter function %s security invoker;', f.object) as fix,
  'warning' as severity,
  array[f.object || ':security', f.object || ':function'] || f.grants as facts
from (
  select
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
    format('%I.%I', n.nspname, p.proname) as name,
    pg_get_userbyid(p.proowner) as owner,
    callers.names as callers,
    callers.grants
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  cross join lateral (
    select
      string_agg(r.rolname, ' and ' order by r.rolname) as names,
      array_agg(
        format('%I.%I(%s):execute:%s', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ','), r.rolname)
      ) as grants
    from pg_roles as r
    where r.rolname in ('anon', 'authenticated')
      and has_function_privilege(r.oid, p.oid, 'execute')
  ) as callers
  where p.prosecdef
    and callers.names is not null
    and ($1::jsonb -> 'exposed') ? n.nspname
) as f
where exists (
  select 1 from jsonb_array_elements_text($1::jsonb -> 'managed') as s (name)
  where s.name like '%(%' and split_part(s.name, '(', 1) = f.name
)
