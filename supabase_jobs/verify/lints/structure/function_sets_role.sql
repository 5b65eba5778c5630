-- No function that requests can run sets the role or the request settings: row level security then applies to another
-- identity. As an attribute it is an error. Its text alone is a warning: what it does is tried (access).
with body as materialized (
  select
    p.oid,
    p.prorettype,
    p.pronamespace,
    coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as text,
    exists(
      select 1 from unnest(p.proconfig) as s (setting)
      where s.setting ~* '^(role|session_authorization|request\..*)='
    ) as is_attribute,
    n.nspname,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
    case p.prokind when 'p' then 'procedure' else 'function' end as kind
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  inner join pg_language as l on p.prolang = l.oid
  inner join pg_roles as o on p.proowner = o.oid
  inner join pg_roles as s on n.nspowner = s.oid
  where n.nspname not in ('pg_catalog', 'information_schema')
    and p.prokind in ('f', 'p', 'w')
    and l.lanname not in ('c', 'internal')
    -- functions of the platform
    and not ((o.rolsuper or o.rolname like 'supabase\_%') and (s.rolsuper or s.rolname like 'supabase\_%') and not ($1::jsonb -> 'exposed') ? n.nspname)
)

select
  f.object,
  '' as name,
  format('%s can %s, and it sets the role or a request setting (role, request.…)', c.names, c.how) as message,
  case
    when c.how like 'call %' then format('revoke execute on %s %s from public, anon, authenticated;', f.kind, f.object)
    else format('Remove the statement that sets the role or a request setting from %s, or drop its triggers.', f.object)
  end as fix,
  case when f.is_attribute then 'error' else 'warning' end as severity,
  array['sets role:' || f.object] as facts,
  true as accepted_by_name
from body as f
cross join lateral (
  select
    'call it through the API' as how,
    string_agg(r.rolname, ' and ' order by r.rolname) as names
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
    and has_function_privilege(r.oid, f.oid, 'execute')
    and f.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    and ($1::jsonb -> 'exposed') ? f.nspname
  union all
  select
    'fire it by writing to ' || string_agg(distinct k.oid::regclass::text, ' and '),
    string_agg(distinct r.rolname::text, ' and ')
  from pg_trigger as t
  inner join pg_class as k on t.tgrelid = k.oid
  inner join pg_roles as r on r.rolname in ('anon', 'authenticated')
  where t.tgfoid = f.oid
    and t.tgenabled <> 'D'
    and (has_any_column_privilege(r.oid, k.oid, 'insert, update') or has_table_privilege(r.oid, k.oid, 'delete'))
) as c
where c.names is not null
  and (
    f.is_attribute
    or f.text ~* '\mset_config\s*\(\s*(setting_name\s*(:=|=>)\s*)?e?''(role|session_authorization|request\.)'
    -- not the SET clause of an UPDATE
    or f.text ~* '(^|;|''|\$|/|\mbegin|\mthen|\melse|\mloop)\s*set\s+((local|session)\s+)?("?request"?\.|"?role\M|session\s+authorization\M)'
  )
