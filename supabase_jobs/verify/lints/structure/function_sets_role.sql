-- No function that requests can run sets the role or the request settings: row level security then applies to another
-- identity.
-- The API connects as authenticator, a member of service_role. Therefore a SECURITY INVOKER function can switch to
-- service_role too, also through another function, and so can a trigger of a table that a request can write to. A
-- function does so by name, with a setting whose name is not a literal, or by running a statement of its caller. The
-- rule follows text from arguments, rows and headers through assignments into EXECUTE. Text that quote_ident,
-- quote_literal, format('%I'), format('%L') or USING passes is harmless.
with recursive of_extension (oid) as materialized (
  select p.oid
  from pg_extension as e
  inner join pg_depend as d
    on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
  inner join pg_proc as p on d.objid = p.oid and e.extnamespace = p.pronamespace and e.extowner = p.proowner and e.xmin = p.xmin
),

body as materialized (
  select
    p.oid,
    p.proname,
    p.prokind,
    p.prosecdef,
    p.prorettype,
    p.proconfig,
    p.proargnames,
    p.proargmodes,
    coalesce(p.proallargtypes, p.proargtypes::oid[]) as types,
    l.lanname,
    t.text,
    -- the body as it is, and once more without comments: a literal may contain what looks like a comment
    t.text || ';' || regexp_replace(regexp_replace(t.text, '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g') as read,
    n.nspname,
    -- matches its name in a body: with or without its schema, quoted or not
    '(?<![\w.$"])("?' || regexp_replace(n.nspname, '(\W)', '\\\1', 'g') || '"?\s*\.\s*)?"?'
    || regexp_replace(p.proname, '(\W)', '\\\1', 'g') || '"?\s*\(' as called,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
    case p.prokind when 'p' then 'procedure' else 'function' end as kind,
    -- a function of the platform or of an extension, not one that was added to it
    (o.rolsuper or o.rolname like 'supabase\_%')
    and (
      exists (
        select 1
        from pg_depend as d
        inner join pg_extension as e on d.refobjid = e.oid
        where d.classid = 'pg_proc'::regclass
          and d.objid = p.oid
          and d.deptype = 'e'
          and (e.extnamespace = p.pronamespace or not ($1::jsonb -> 'exposed') ? n.nspname)
      )
      or (not ($1::jsonb -> 'exposed') ? n.nspname and (s.rolsuper or s.rolname like 'supabase\_%'))
    ) as is_platform
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  inner join pg_language as l on p.prolang = l.oid
  inner join pg_roles as o on p.proowner = o.oid
  inner join pg_roles as s on n.nspowner = s.oid
  cross join lateral (select coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as text) as t
  where n.nspname not in ('pg_catalog', 'information_schema')
    and p.prokind in ('f', 'p', 'w')
    and l.lanname not in ('c', 'internal')
    -- what CREATE EXTENSION has made outside of exposed schemas; extension_in_api judges the others
    and p.oid not in (select x.oid from of_extension as x)
),

-- arguments that can carry a text
argument (oid, name, number) as (
  select
    b.oid,
    nullif(b.proargnames[a.number], ''),
    -- among the arguments that a caller passes
    count(*) over (partition by b.oid order by a.number)
  from body as b
  cross join unnest(b.types) with ordinality as a (type, number)
  inner join pg_type as t on a.type = t.oid
  left join pg_type as e on t.typelem = e.oid and t.typcategory = 'A'
  where coalesce(b.proargmodes[a.number], 'i') in ('i', 'b', 'v')
    and (
      coalesce(e.typcategory, t.typcategory) in ('S', 'C')
      or coalesce(e.typname, t.typname) in ('json', 'jsonb', 'xml', 'bytea', 'record', 'hstore')
    )
),

-- bodies without comments, with dollar quotes as literals, with adjacent literals as one
plain as materialized (
  select
    b.oid,
    regexp_replace(
      regexp_replace(q.text, '(''(?:[^'']|'''')*'')|--[^\n]*|/\*(?:[^*]|\*+[^*/])*\*+/', '\1 ', 'g'),
      '''\s*(?:\|\||\n)\s*e?''', '', 'gi'
    ) as text
  from body as b
  cross join lateral (
    select string_agg(
      u.text || coalesce('''' || replace(regexp_replace(u.quoted, '^\$\w*\$|\$\w*\$$', '', 'g'), '''', '') || '''', ''),
      '' order by u.number
    ) as text
    from unnest(
      regexp_split_to_array(b.text, '\$(\w*?)\$.*?\$\1\$'),
      array(select m.parts[1] from regexp_matches(b.text, '(\$(\w*?)\$.*?\$\2\$)', 'g') as m (parts))
    ) with ordinality as u (text, quoted, number)
  ) as q
  where not b.is_platform
    and b.text ~* '(\mexecute\M(?!\s+(function|procedure|on)\M)|\mset_config\M|\msetting_name\M|\mpg_settings\M|[''$;]\s*set\s|\mspi_|_to_xml|\mcrosstab|\mconnectby\M|\mts_stat\M)'
),

-- one argument of a call
pattern as (
  select '(?:[^(),'']|''(?:[^'']|'''')*''|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*' as argument
),

-- the names of settings that are not a literal, and not in a namespace of the user such as 'app.'; words: what is variable
setting (oid, words) as materialized (
  select
    p.oid,
    w.text
  from plain as p
  cross join pattern as a
  cross join lateral (
    select m.parts[1] as text
    from regexp_matches(p.text, '\msetting_name\s*(?::=|=>)\s*(' || a.argument || ')', 'gi') as m (parts)
    union all
    select m.parts[1]
    from regexp_matches(p.text, '\mset_config\s*\(\s*(' || a.argument || ')', 'gi') as m (parts)
    where m.parts[1] !~ '(:=|=>)'
  ) as e
  cross join lateral (
    select regexp_replace(
      regexp_replace(e.text, '''(?:[^'']|'''')*''|::\s*[\w."]+', '', 'g'),
      '\m(lower|upper|format|concat|concat_ws|btrim|trim|replace|coalesce|quote_ident)\s*\(', '', 'gi'
    ) as text
  ) as w
  where e.text !~* '^(?:(?:concat|format)\s*\(|\()*\s*e?''(?!request\.)[a-z_]\w*\.'
    and w.text ~* '[a-z_$]'
),

-- format() with %I or %L loses the argument; with %s the argument moves in front of it
formatted (oid, text, step) as (
  select
    p.oid,
    regexp_replace(
      p.text, '\mquote_(?:ident|literal|nullable)\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)', '''''', 'gi'
    ),
    1
  from plain as p
  where p.text ~* '(\mexecute\M|\mspi_|_to_xml|\mcrosstab|\mconnectby\M|\mts_stat\M|\.(prepare|cursor)\M)'
    or p.oid in (select n.oid from setting as n)
  union all
  select
    f.oid,
    r.text,
    f.step + 1
  from formatted as f
  cross join pattern as a
  cross join lateral (
    select regexp_replace(
      regexp_replace(
        f.text, '(\mformat\s*\(\s*e?''(?:[^''%]|''''|%%)*)%-?\d*[IL]((?:[^'']|'''')*'')\s*,' || a.argument, '\1\2', 'gi'
      ),
      '(\mformat\s*\(\s*e?''(?:[^''%]|''''|%%)*)%-?\d*s((?:[^'']|'''')*'')\s*,(' || a.argument || ')', '\3 || \1\2', 'gi'
    ) as text
  ) as r
  where r.text <> f.text
    and f.step < 40
),

-- the statements of these bodies, with '' for each literal and each value that cannot be a statement
statement (oid, text) as materialized (
  select
    f.oid,
    s.text
  from (
    select distinct on (o.oid)
      o.oid,
      o.text
    from formatted as o
    order by o.oid asc, o.step desc
  ) as f
  inner join body as b on f.oid = b.oid
  cross join pattern as a
  cross join lateral (
    select regexp_replace(
      f.text, '\mformat\s*\(\s*e?''(?:[^''%]|''''|%%|%\d+\$-?\d*[IL])*''\s*(?:,' || a.argument || ')*\)', '''''', 'gi'
    ) as text
  ) as g
  cross join lateral (
    select case
      when b.lanname in ('sql', 'plpgsql') then regexp_replace(g.text, '''(?:[^'']|'''')*''', '''''', 'g')
      else regexp_replace(g.text, '''(?:[^''\n]|'''')*''|"[^"\n]*"', '''''', 'g')
    end as text
  ) as q
  cross join lateral (
    select regexp_replace(
      q.text,
      '([\w.$"]+|\([^()]*\))\s*::\s*(int|integer|int[248]|bigint|smallint|numeric|real|uuid|bool|boolean|date|timestamp|timestamptz|interval|oid|reg\w+)\M',
      '''''', 'gi'
    ) as text
  ) as v
  -- conditions choose a value, and are none
  cross join lateral (
    select regexp_replace(
      v.text, '\mcase\M(?:(?!\mwhen\M)[^;])*(?=\mwhen\M)|(?<=\mwhen\s)(?:(?!\mthen\M)[^;])*(?=\mthen\M)', '', 'gi'
    ) as text
  ) as k
  cross join regexp_split_to_table(k.text, ';') as s (text)
),

-- what runs a statement: EXECUTE, or the first argument of a function; not a literal
executed (oid, text) as materialized (
  select
    x.oid,
    x.text
  from (
    select
      s.oid,
      m.parts[1] as text
    from statement as s
    inner join body as b on s.oid = b.oid and b.lanname = 'plpgsql'
    cross join regexp_matches(
      s.text, '\mexecute\M(?!\s+(?:function|procedure|on)\M)((?:(?!\m(?:using|into|loop)\M).)*)', 'i'
    ) as m (parts)
    union all
    select
      s.oid,
      m.parts[1]
    from statement as s
    cross join pattern as a
    cross join regexp_matches(
      s.text, '(?:\m(?:query_to_xml\w*|crosstab\w*|connectby|ts_stat|spi_\w+)|\m\w+\.(?:execute|prepare|cursor))\s*\((' || a.argument || ')', 'gi'
    ) as m (parts)
  ) as x
  where x.text ~* '[a-z$]'
),

-- the statements of the functions that need a closer look
followed (oid, text) as materialized (
  select
    s.oid,
    s.text
  from statement as s
  where s.oid in (select e.oid from executed as e
  union
  select n.oid from setting as n)
),

-- the variables that a statement sets, and from what
assignment (oid, target, source, is_query) as materialized (
  select
    s.oid,
    t.name,
    m.parts[3],
    m.parts[3] ~* '\mselect\M'
  from followed as s
  cross join regexp_matches(
    s.text, '(?:^|\m(?:declare|begin|then|else|loop)\s)\s*(\w+)([^=;]*?)(?::=|=|\mdefault\M)(.*)$', 'i'
  ) as m (parts)
  cross join lateral (values (m.parts[1]), ((regexp_match(m.parts[2], '(\w+)\s*$'))[1])) as t (name)
  where t.name is not null
  union all
  select
    s.oid,
    btrim(t.name, ' "' || chr(10)),
    m.parts[1],
    true
  from followed as s
  cross join regexp_matches(
    s.text, '\m(?:select|returning|execute)\M(.*?)\minto\s+(?:strict\s+)?([\w",.]+(?:\s*,\s*[\w",.]+)*)', 'i'
  ) as m (parts)
  cross join regexp_split_to_table(m.parts[2], ',') as t (name)
  union all
  select
    s.oid,
    m.parts[1],
    m.parts[2],
    m.parts[2] ~* '\m(select|execute)\M'
  from followed as s
  cross join regexp_matches(s.text, '\mfor(?:each)?\s+(\w+)\s+(?:slice\s+\d+\s+)?in\s+((?:(?!\mloop\M).)*)', 'i') as m (parts)
  union all
  select
    s.oid,
    m.parts[1],
    m.parts[2],
    false
  from followed as s
  cross join regexp_matches(s.text, '(\w+)\s+alias\s+for\s+(\S+)', 'i') as m (parts)
),

-- variables that cannot contain a statement: numbers and the like, and what the function compares with literals
harmless (oid, name) as (
  select
    s.oid,
    m.parts[1]
  from followed as s
  cross join regexp_matches(
    s.text, '(\w+)\s+(?:constant\s+)?(?:int|integer|int[248]|bigint|smallint|numeric|real|uuid|bool|boolean|date|timestamp\w*|interval|oid|reg\w+)\M', 'gi'
  ) as m (parts)
  union
  select
    s.oid,
    m.parts[1]
  from followed as s
  cross join regexp_matches(s.text, '(\w+)\s*\)?\s+(?:not\s+)?in\s*\(\s*''''', 'gi') as m (parts)
),

-- names whose text a caller can choose: arguments, rows, headers, and variables that are set from them
chosen (oid, name) as (
  select
    a.oid,
    n.name
  from argument as a
  cross join lateral (values (a.name), ('$' || a.number)) as n (name)
  where n.name is not null
    and a.oid in (select e.oid from executed as e)
    and (a.oid, n.name) not in (select
h.oid,
h.name
from harmless as h)
  union
  select
    p.oid,
    n.name
  from plain as p
  inner join body as b on p.oid = b.oid
  cross join (values ('new'), ('old'), ('current_setting')) as n (name)
  where case n.name
      when 'current_setting' then p.text ~* '\mcurrent_setting\s*\(\s*''request\.'
      else b.prorettype = 'trigger'::regtype
    end
  union
  select
    a.oid,
    a.target
  from assignment as a
  where a.is_query
    and (a.oid, a.target) not in (select
h.oid,
h.name
from harmless as h)
    and a.source !~* '\m(pg_\w+|information_schema)\M'
    and regexp_replace(a.source, '\w+\s*\(|\m(select|execute|distinct|order|by|as|null|from.*|where.*)\M', '', 'gi') ~ '[a-z]'
  union
  select
    a.oid,
    a.target
  from chosen as c
  inner join body as b on c.oid = b.oid
  inner join assignment as a on c.oid = a.oid
  where a.target <> c.name
    and (a.oid, a.target) not in (select
h.oid,
h.name
from harmless as h)
    and a.source ~* (
      '(?<![\w.$"])("?' || regexp_replace(b.proname, '(\W)', '\\\1', 'g') || '"?\s*\.\s*)?"?'
      || regexp_replace(c.name, '(\W)', '\\\1', 'g') || '"?(?![\w$])'
    )
),

runs_statement (oid) as (
  select distinct e.oid
  from executed as e
  inner join body as b on e.oid = b.oid and not b.prosecdef
  inner join chosen as c on e.oid = c.oid
  where e.text ~* (
    '(?<![\w.$"])("?' || regexp_replace(b.proname, '(\W)', '\\\1', 'g') || '"?\s*\.\s*)?"?'
    || regexp_replace(c.name, '(\W)', '\\\1', 'g') || '"?(?![\w$])'
  )
),

-- functions that set a setting whose name is not a literal
named (oid) as (
  select s.oid
  from setting as s
  inner join plain as p on s.oid = p.oid
  -- variables that only literals are assigned to
  cross join lateral (
    select '\m(' || string_agg(c.target, '|') || ')\M' as names
    from (
      select a.target
      from assignment as a
      where a.oid = s.oid
      group by a.target
      having bool_and(regexp_replace(a.source, '\m(array|loop)\M', '', 'gi') !~* '[a-z_$]')
    ) as c
  ) as k
  where regexp_replace(s.words, coalesce(k.names, '^\M\m'), '', 'gi') ~* '[a-z_$]'
    or p.text ~* '''(role|session_authorization|request\.[\w.]*)'''
  union
  select p.oid
  from plain as p
  where p.text ~* '\mupdate\s+(only\s+)?(pg_catalog\s*\.\s*)?pg_settings\M'
    or p.text ~* '''\s*([^'']*;\s*)?set\s+(local\s+|session\s+)?(%|''\s*\|\|)'
),

sets_role (oid, called, how) as (
  select
    b.oid,
    b.called,
    'sets the role or a request setting (role, request.…)'
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
    b.called,
    'sets a setting whose name is not a literal, which can be role or request.jwt.claims'
  from named as n
  inner join body as b on n.oid = b.oid
  union
  select
    b.oid,
    b.called,
    'runs a statement that contains text of its caller, which can be set role service_role'
  from runs_statement as r
  inner join body as b on r.oid = b.oid
  union
  select
    b.oid,
    b.called,
    t.how
  from sets_role as t
  inner join body as b on t.oid <> b.oid and b.text ~* t.called
  where case left(t.how, 6)
      when 'sets t' then true
      -- not a call with a literal as the name
      when 'sets a'
        then b.text ~* (
          t.called
          || '\s*(?:\w+\s*(?::=|=>)\s*)?(?:e?''(?:role|session_authorization|request\.)|(?![\s'')]|e''|\w+\s*(?::=|=>)))'
        )
      else b.prorettype = 'trigger'::regtype or b.oid in (select a.oid from argument as a)
    end
)

select
  f.object,
  '' as name,
  format('%s can %s, and it %s', c.names, c.how, string_agg(w.how, ', and ' order by w.how desc)) as message,
  case
    when c.how like 'call %' then format('revoke execute on %s %s from public, anon, authenticated;', f.kind, f.object)
    else format('Remove the statement that sets the role or a request setting from %s, or drop its triggers.', f.object)
  end as fix,
  'error' as severity,
  array['sets role:' || f.object] as facts
from body as f
inner join (select distinct
t.oid,
t.how
from sets_role as t) as w on f.oid = w.oid
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
where c.names is not null
group by f.object, f.kind, c.names, c.how
