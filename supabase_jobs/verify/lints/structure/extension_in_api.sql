-- No request can call functions of extensions that run, read or send what their caller passes: a statement of the caller
-- can be set role service_role.
-- The rule knows the functions by the names of their extensions. The body of no member is read. A function that runs as its
-- owner and passes an argument to one that reaches any table or file gives its callers the same. It is never called: what such
-- a function writes into pages stays after a rollback.
with known (extension, function, does, severity) as (
  values
  ('dblink', '^dblink(_open|_exec|_send_query|_fetch|_connect|_connect_u)?$', 'run statements of their caller over a connection of the server', 'error'),
  ('tablefunc', '^(crosstab|connectby)', 'run statements of their caller', 'error'),
  ('xml2', '^xpath_table$', 'run statements of their caller', 'error'),
  (
    'pgtap',
    '^(_query|_temptable|_docomp|_relcomp|_relne|_runem|_runner|_time_trials|bag_|cmp_ok|do_tap|in_todo|is_empty|isnt_empty|lives_ok'
    || '|performs_|results_|row_eq|runtests|set_|throws_)',
    'run statements of their caller', 'error'
  ),
  ('index_advisor', '^index_advisor$', 'run statements of their caller', 'error'),
  ('pg_cron', '^(schedule|schedule_in_database|alter_job)$', 'run statements of their caller later', 'error'),
  ('adminpack', '^pg_(file|logdir)_', 'read and write files of the server', 'error'),
  ('pg_walinspect', '.', 'read the log of all changes', 'error'),
  ('pageinspect', '.', 'read the pages of every table', 'error'),
  ('pg_surgery', '.', 'change the pages of every table', 'error'),
  ('http', '^(http|http_get|http_post|http_put|http_patch|http_delete|http_head)$', 'send requests from the server', 'warning'),
  ('pg_net', '^http_', 'send requests from the server', 'warning')
)

select
  quote_ident(e.extname) as object,
  '' as name,
  format(
    '%s can call %s%s through the API: functions of the extension %s', c.names, min(f.name),
    case count(*) when 1 then '' else format(' and %s more', count(*) - 1) end, k.does
  ) as message,
  case
    when e.extrelocatable then format('alter extension %I set schema extensions;', e.extname)
    else string_agg(format('revoke execute on function %s from public, anon, authenticated;', f.name), ' ' order by f.name)
  end as fix,
  k.severity,
  '{}'::text[] as facts
from known as k
inner join pg_extension as e on k.extension = e.extname
inner join pg_depend as d
  on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
inner join pg_proc as p on d.objid = p.oid
inner join pg_namespace as n on p.pronamespace = n.oid
cross join lateral (
  select string_agg(r.rolname, ' and ' order by r.rolname) as names
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
    and has_function_privilege(r.oid, p.oid, 'execute')
    and has_schema_privilege(r.oid, n.oid, 'usage')
) as c
cross join lateral (
  select format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as name
) as f
where p.proname ~ k.function
  and ($1::jsonb -> 'exposed') ? n.nspname
  and c.names is not null
group by e.extname, e.extrelocatable, n.nspname, c.names, k.does, k.severity
union all
select
  w.name,
  '',
  format(
    '%s can call it through the API, and it passes what they choose to %I: functions of the extension %s %s', c.names,
    min(p.proname), e.extname, k.does
  ),
  format('revoke execute on function %s from public, anon, authenticated;', w.name),
  'error',
  '{}'
from known as k
inner join pg_extension as e on k.extension = e.extname and k.extension in ('adminpack', 'pageinspect', 'pg_surgery', 'pg_walinspect')
inner join pg_depend as d
  on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
inner join pg_proc as p on d.objid = p.oid and p.proname ~ k.function
inner join pg_proc as f on f.prosecdef and f.pronargs > 0
inner join pg_namespace as n on f.pronamespace = n.oid and ($1::jsonb -> 'exposed') ? n.nspname
cross join lateral (
  select format('%I.%I(%s)', n.nspname, f.proname, replace(oidvectortypes(f.proargtypes), ', ', ',')) as name
) as w
cross join lateral (
  select string_agg(r.rolname, ' and ' order by r.rolname) as names
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
    and has_function_privilege(r.oid, f.oid, 'execute')
) as c
where c.names is not null
  and coalesce(pg_get_function_sqlbody(f.oid), f.prosrc) ~* format(
    '\m%s\s*\([^;]*(\$\d%s)',
    p.proname,
    (
      select string_agg(format('|\m%s\M', regexp_replace(a.name, '(\W)', '\\\1', 'g')), '')
      from unnest(f.proargnames) as a (name)
      where a.name <> ''
    )
  )
group by w.name, c.names, e.extname, k.does
