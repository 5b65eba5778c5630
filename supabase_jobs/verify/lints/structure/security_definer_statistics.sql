-- No SECURITY DEFINER function or materialized view shows statistics, row counts or the write-ahead log to requests.
-- pg_stats contains the most common values of each column, and hides those of tables with row level security from all but
-- their owner. Logical decoding returns every changed row. A function that names only user tables is harmless.
with source (oid, object, kind, owner, text, takes_text, names) as (
  select
    p.oid,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')),
    case p.prokind when 'p' then 'procedure' else 'function' end,
    p.proowner,
    coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
    exists(
      select 1
      from unnest(p.proargtypes) as a (type)
      inner join pg_type as t on a.type = t.oid
      where t.typcategory in ('S', 'A') or t.typname in ('json', 'jsonb', 'regclass', 'oid')
    ),
    (
      select string_agg(r.rolname, ' and ' order by r.rolname)
      from pg_roles as r
      where r.rolname in ('anon', 'authenticated')
        and has_function_privilege(r.oid, p.oid, 'execute')
        and has_schema_privilege(r.oid, p.pronamespace, 'usage')
    )
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  inner join pg_roles as o on p.proowner = o.oid
  inner join pg_roles as s on n.nspowner = s.oid
  where p.prosecdef
    and p.prokind in ('f', 'p', 'w')
    and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    and n.nspname not in ('pg_catalog', 'information_schema')
    -- functions of the platform and of extensions
    and not (
      (o.rolsuper or o.rolname like 'supabase\_%')
      and (s.rolsuper or s.rolname like 'supabase\_%')
      and not ($1::jsonb -> 'exposed') ? n.nspname
    )
    and not exists (
      select 1 from pg_depend as d
      inner join pg_extension as e on d.refobjid = e.oid
      where d.classid = 'pg_proc'::regclass
        and d.objid = p.oid
        and d.deptype = 'e'
        and o.rolsuper
        and (e.extnamespace = p.pronamespace or not ($1::jsonb -> 'exposed') ? n.nspname)
    )
  union all
  select
    c.oid,
    format('%I.%I', n.nspname, c.relname),
    'materialized view',
    c.relowner,
    pg_get_viewdef(c.oid),
    true,
    (
      select string_agg(r.rolname, ' and ' order by r.rolname)
      from pg_roles as r
      where r.rolname in ('anon', 'authenticated')
        and has_any_column_privilege(r.oid, c.oid, 'select')
        and has_schema_privilege(r.oid, c.relnamespace, 'usage')
    )
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind = 'm'
)

select
  s.object,
  '' as name,
  format(
    case s.kind
      when 'materialized view' then '%s can read it, and it contains %s, which its owner %s may see'
      else '%s can call it, and it can read %s as %s'
    end,
    s.names, w.what, pg_get_userbyid(s.owner)
  ) as message,
  case s.kind
    when 'materialized view' then format('revoke all on table %s from public, anon, authenticated;', s.object)
    else format('revoke execute on %s %s from public, anon, authenticated;', s.kind, s.object)
  end as fix,
  w.severity,
  array['statistics:' || s.object] || (
    select array_agg(m.name || ':function that bypasses row level security:' || s.object)
    from jsonb_array_elements_text($1::jsonb -> 'managed') as m (name)
  ) as facts,
  true as accepted_by_name
from source as s
cross join lateral (
  select regexp_replace(s.text, '(''(?:[^'']|'''')*'')|--[^\n]*|/\*(?:[^*]|\*+[^*/])*\*+/', '\1 ', 'g') as text
) as b
cross join lateral (
  select
    x.what,
    x.severity
  from (
    values
    (
      1, 'changed rows of all tables from the write-ahead log', 'error', false,
      '\m(pg_logical_slot_(get|peek)(_binary)?_changes|pg_create_logical_replication_slot|pg_get_wal_\w+)\M'
    ),
    (
      2, 'statistics, which contain column values of all tables', 'error', true,
      '\m(pg_stats(_ext|_ext_exprs)?|pg_statistic(_ext_data)?)\M'
    ),
    (
      3, 'row counts of all tables', 'warning', true,
      '\m(reltuples|n_live_tup|n_dead_tup|n_tup_(ins|upd|del)|pg_stat_get_(live|dead)_tuples|pg_stat_get_tuples_\w+)\M'
    )
  ) as x (number, what, severity, names_table, pattern)
  where b.text ~* x.pattern
    -- it names only user tables
    and not (
      x.names_table
      and not s.takes_text
      and b.text ~ '''\w'
      and not exists (
        select 1
        from jsonb_array_elements_text($1::jsonb -> 'managed') as m (name)
        where m.name like '%.%'
          and m.name not like '%(%'
          and b.text ~* ('(?<![\w$])' || regexp_replace(split_part(m.name, '.', 2), '(\W)', '\\\1', 'g') || '(?![\w$])')
      )
    )
  order by x.number
  limit 1
) as w
where s.names is not null
