-- No function that the API exposes takes on another role or identity: row level security then asks for that one.
-- The API connects as authenticator, which may take on service_role, so that a function that runs as its caller may too.
select
  f.object,
  '' as name,
  format('%s may call it through the API, and it takes on another role or identity (role, request.…)', c.names) as message,
  format('revoke execute on %s %s from public, anon, authenticated;', f.kind, f.object) as fix,
  'error' as severity,
  array['takes on role:' || f.object] as facts
from (
  select
    p.oid,
    p.proconfig,
    coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as body,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
    case p.prokind when 'p' then 'procedure' else 'function' end as kind
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where ($1::jsonb -> 'exposed') ? n.nspname
    and p.prokind in ('f', 'p')
    and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
) as f
cross join lateral (
  select string_agg(r.rolname, ' and ' order by r.rolname) as names
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
    and has_function_privilege(r.oid, f.oid, 'execute')
) as c
where c.names is not null
  and (
    exists (
      select 1 from unnest(f.proconfig) as s (setting)
      where s.setting ~* '^(role|session_authorization|request\..*)='
    )
    or f.body ~* '\mset_config\s*\(\s*''(role|session_authorization|request\.)'
    or f.body ~* '\mset\s+(local|session)\s+("?request"?\.|role\M|session\s+authorization\M)'
    -- not the column of an UPDATE
    or f.body ~* '(^|;|''|\$|\mbegin|\mthen|\melse|\mloop)\s*set\s+("?request"?\.|role\M|session\s+authorization\M)'
  )
