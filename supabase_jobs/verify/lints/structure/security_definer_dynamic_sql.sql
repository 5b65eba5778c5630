-- No SECURITY DEFINER function that requests can call or fire runs dynamic SQL: a caller that controls the text controls
-- the rows. The body does not show which tables such a statement reaches. Of trigger functions, it reports those that
-- build the statement from a column or from a trigger argument; the name of the trigger's own table is harmless.
with recursive definer as materialized (
  select
    p.oid,
    p.pronamespace,
    p.prosrc,
    p.prorettype = 'trigger'::regtype as is_trigger,
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
  inner join pg_roles as o on p.proowner = o.oid
  inner join pg_roles as s on n.nspowner = s.oid
  where p.prosecdef
    and p.prokind in ('f', 'p', 'w')
    and p.prorettype <> 'event_trigger'::regtype
    and n.nspname not in ('pg_catalog', 'information_schema')
    and p.prosrc ~* '(\mexecute\M(?!\s+(function|procedure|on)\M)|\m(query|table|cursor|schema|database)_to_xml|\mdblink|\m(crosstab|connectby|ts_stat))'
    -- Functions of the platform and of extensions belong to a superuser. A function in an exposed schema is not one of
    -- them, unless the schema is that of its extension.
    and (
      not o.rolsuper
      or exists (
        select 1 from pg_class as c
        inner join pg_namespace as m on c.relnamespace = m.oid
        where c.relowner = p.proowner and ($1::jsonb -> 'managed') ? format('%I.%I', m.nspname, c.relname)
      )
      or (
        (($1::jsonb -> 'exposed') ? n.nspname or not (s.rolsuper or s.rolname like 'supabase\_%'))
        and not exists (
          select 1
          from pg_depend as d
          inner join pg_extension as e on d.refobjid = e.oid
          where d.classid = 'pg_proc'::regclass
            and d.objid = p.oid
            and d.deptype = 'e'
            and (e.extnamespace = p.pronamespace or not ($1::jsonb -> 'exposed') ? n.nspname)
        )
      )
    )
),

-- one argument of a call
pattern as (
  select '(?:[^(),'']|''(?:[^'']|'''')*''|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*' as argument
),

-- bodies of trigger functions without comments; format() with %L loses the argument, others move in front of it
formatted (oid, text, step) as (
  select
    d.oid,
    regexp_replace(
      regexp_replace(d.prosrc, '(''(?:[^'']|'''')*'')|--[^\n]*|/\*(?:[^*]|\*+[^*/])*\*+/', '\1 ', 'g'),
      '''\s*(?:\|\||\n)\s*e?''|\mquote_(?:literal|nullable)\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)', '', 'gi'
    ),
    1
  from definer as d
  where d.is_trigger
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
        f.text, '(\mformat\s*\(\s*e?''(?:[^''%]|''''|%%)*)%-?\d*L((?:[^'']|'''')*'')\s*,' || a.argument, '\1\2', 'gi'
      ),
      '(\mformat\s*\(\s*e?''(?:[^''%]|''''|%%)*)%-?\d*[IS]((?:[^'']|'''')*'')\s*,(' || a.argument || ')', '\3 || \1\2', 'gi'
    ) as text
  ) as r
  where r.text <> f.text
    and f.step < 40
),

-- the trigger functions whose statements contain a column or a trigger argument, also by way of a variable
built (oid, from_column, from_argument) as (
  select
    f.oid,
    bool_or(e.text ~* '\m(new|old)\M'),
    bool_or(e.text ~* '\mtg_argv\M')
  from (
    select distinct on (o.oid)
      o.oid,
      regexp_replace(o.text, '''(?:[^'']|'''')*''', '''''', 'g') as text
    from formatted as o
    order by o.oid asc, o.step desc
  ) as f
  cross join regexp_matches(
    f.text, '\mexecute\M(?!\s+(?:function|procedure|on)\M)((?:(?!\m(?:using|into|loop)\M)[^;])*)', 'gi'
  ) as m (parts)
  cross join lateral (
    select m.parts[1] || ' ' || coalesce(string_agg(v.parts[2], ' '), '') as text
    from regexp_matches(
      f.text, '(?:^|[;\s])(\w+)(?:\s+[\w.]+)?\s*(?::=|=|\mdefault\M)([^;]*)(?=;)', 'gi'
    ) as v (parts)
    where m.parts[1] ~* ('(?<![\w.$"])' || v.parts[1] || '(?![\w$])')
  ) as e
  group by f.oid
)

select
  f.object,
  '' as name,
  format(
    '%s can %s, and it runs dynamic SQL%s as %s, who bypasses row level security', c.names, c.how, c.source, f.owner
  ) as message,
  c.fix,
  c.severity,
  array['dynamic sql:' || f.object] || t.facts as facts
from definer as f
cross join lateral (
  select
    'call it' as how,
    string_agg(r.rolname, ' and ' order by r.rolname) as names,
    case when f.takes_text then ' built from its arguments' else '' end as source,
    case when f.takes_text then 'error' else 'warning' end as severity,
    -- as an invoker it could still run set role service_role
    case
      when f.takes_text then format('revoke execute on %s %s from public, anon, authenticated;', f.kind, f.object)
      else format('alter %s %s security invoker;', f.kind, f.object)
    end as fix
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
    and not f.is_trigger
    and has_function_privilege(r.oid, f.oid, 'execute')
    and has_schema_privilege(r.oid, f.pronamespace, 'usage')
  union all
  select
    'fire it by writing to ' || string_agg(distinct g.relation, ' and ' order by g.relation),
    string_agg(distinct g.rolname, ' and ' order by g.rolname),
    case when b.from_column then ' built from a column' else ' built from a trigger argument' end,
    case when b.from_column or bool_or(g.names_managed) then 'error' else 'warning' end,
    case
      when b.from_column
        then string_agg(distinct format('drop trigger %I on %s;', g.tgname, g.relation), ' ')
      else format('alter function %s security invoker;', f.object)
    end
  from built as b
  cross join lateral (
    select
      r.rolname::text,
      w.tgname,
      format('%I.%I', m.nspname, k.relname) as relation,
      exists(
        select 1
        from jsonb_array_elements_text($1::jsonb -> 'managed') as s (name)
        where s.name not like '%(%'
          and s.name like '%.%'
          and encode(w.tgargs, 'escape') ~* ('\m' || regexp_replace(split_part(s.name, '.', 2), '(\W)', '\\\1', 'g') || '(?![a-z_])')
      ) as names_managed
    from pg_trigger as w
    inner join pg_class as k on w.tgrelid = k.oid
    inner join pg_namespace as m on k.relnamespace = m.oid
    inner join pg_roles as r on r.rolname in ('anon', 'authenticated')
    where w.tgfoid = f.oid
      and w.tgenabled <> 'D'
      and (
        has_any_column_privilege(r.oid, k.oid, 'insert, update')
        or has_table_privilege(r.oid, k.oid, 'delete')
      )
  ) as g
  where b.oid = f.oid
    and (b.from_column or b.from_argument)
  group by b.from_column
) as c
-- the finding about a function that bypasses row level security on a known table covers this one
cross join lateral (
  select array_agg(s.name || k.kind || f.object) as facts
  from jsonb_array_elements_text($1::jsonb -> 'managed') as s (name)
  cross join (
    values (':function that bypasses row level security:'), (':trigger that bypasses row level security:')
  ) as k (kind)
) as t
where c.names is not null
  and f.name not in (
    select split_part(s.name, '(', 1)
    from jsonb_array_elements_text($1::jsonb -> 'managed') as s (name)
    where s.name like '%(%'
  )
