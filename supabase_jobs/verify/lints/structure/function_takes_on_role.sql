-- No function that requests can set off takes on another role or identity: row level security then asks for that one.
-- The API connects as authenticator, which may take on service_role, so that a function that runs as its caller may too,
-- by another function that it calls, and so may a trigger of a table that a request can write to.
with recursive body as materialized (
  select
    p.oid,
    p.prokind,
    p.prorettype,
    p.proconfig,
    t.text,
    -- a comment may stand before a statement, and what looks like one in a text
    t.text || ';' || regexp_replace(regexp_replace(t.text, '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g') as read,
    n.nspname,
    -- its name in a body, with or without its schema, quoted or not
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

takes_on (oid, called) as (
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
    -- not the column of an UPDATE
    or b.read ~* '(^|;|''|\$|\mbegin|\mthen|\melse|\mloop)\s*set\s+("?request"?\.|"?role\M|session\s+authorization\M|"?session_authorization\M)'
  union
  select
    b.oid,
    b.called
  from takes_on as t
  inner join body as b on t.oid <> b.oid and b.text ~* t.called
)

select
  f.object,
  '' as name,
  format('%s may %s, and it takes on another role or identity (role, request.…)', c.names, c.how) as message,
  case
    when c.how like 'call %' then format('revoke execute on %s %s from public, anon, authenticated;', f.kind, f.object)
    else format('Take it out of %s, which it takes on an identity by, or drop its triggers.', f.object)
  end as fix,
  'error' as severity,
  array['takes on role:' || f.object] as facts
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
    'set it off by writing to ' || string_agg(distinct g.relation, ' and ' order by g.relation),
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
where f.oid in (select t.oid from takes_on as t)
  and c.names is not null
