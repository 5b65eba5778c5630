-- No function that requests can run sets the role or the request settings: row level security then applies to another
-- identity.
-- The API connects as authenticator, a member of service_role. Therefore a SECURITY INVOKER function can switch to
-- service_role too, also through another function, and so can a trigger of a table that a request can write to.
with recursive body as materialized (
  select
    p.oid,
    p.prokind,
    p.prorettype,
    p.proconfig,
    t.text,
    -- the body as it is, and once more without comments: a literal may contain what looks like a comment
    t.text || ';' || regexp_replace(regexp_replace(t.text, '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g') as read,
    n.nspname,
    -- matches its name in a body: with or without its schema, quoted or not
    '(?<![\w.$"])("?' || regexp_replace(n.nspname, '(\W)', '\\\1', 'g') || '"?\s*\.\s*)?"?'
    || regexp_replace(p.proname, '(\W)', '\\\1', 'g') || '"?\s*\(' as called,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
    case p.prokind when 'p' then 'procedure' else 'function' end as kind
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  inner join pg_language as l on p.prolang = l.oid
  cross join lateral (select coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as text) as t
  where n.nspname not in ('pg_catalog', 'information_schema')
    and p.prokind in ('f', 'p')
    and l.lanname not in ('c', 'internal')
),

sets_role (oid, called) as (
  select
    b.oid,
    b.called
  from body as b
  where exists (
      select 1 from unnest(b.proconfig) as s (setting)
      where s.setting ~* '^(role|session_authorization|request\..*)='
    )
    or b.read ~* '\mset_config\s*\(\s*e?''(role|session_authorization|request\.)'
    or b.read ~* '\msetting_name\s*(:=|=>)\s*e?''(role|session_authorization|request\.)'
    or b.read ~* '\mset\s+(local|session)\s+("?request"?\.|"?role\M|session\s+authorization\M|"?session_authorization\M)'
    -- not the SET clause of an UPDATE
    or b.read ~* '(^|;|''|\$|\mbegin|\mthen|\melse|\mloop)\s*set\s+("?request"?\.|"?role\M|session\s+authorization\M|"?session_authorization\M)'
  union
  select
    b.oid,
    b.called
  from sets_role as t
  inner join body as b on t.oid <> b.oid and b.text ~* t.called
)

select
  f.object,
  '' as name,
  format('%s can %s, and it sets the role or a request setting (role, request.…)', c.names, c.how) as message,
  case
    when c.how like 'call %' then format('revoke execute on %s %s from public, anon, authenticated;', f.kind, f.object)
    else format('Remove the statement that sets the role or a request setting from %s, or drop its triggers.', f.object)
  end as fix,
  'error' as severity,
  array['sets role:' || f.object] as facts
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
    'fire it by writing to ' || string_agg(distinct g.relation, ' and ' order by g.relation),
    string_agg(distinct g.rolname, ' and ' order by g.rolname)
  from (
    select
      r.rolname::text,
      format('%I.%I', m.nspname, k.relname) as relation
    from pg_trigger as t
    inner join pg_class as k on t.tgrelid = k.oid
    inner join pg_namespace as m on k.relnamespace = m.oid
    inner join pg_roles as r on r.rolname in ('anon', 'authenticated')
    where t.tgfoid = f.oid
      and t.tgenabled <> 'D'
      and (
        has_any_column_privilege(r.oid, k.oid, 'insert, update')
        or has_table_privilege(r.oid, k.oid, 'delete')
      )
  ) as g
) as c
where f.oid in (select t.oid from sets_role as t)
  and c.names is not null
