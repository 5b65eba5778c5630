-- $1 managed
-- User functions that run as their owner, or return a setting that their caller names, and user tables whose triggers or
-- rules do: what requests can call and write to. And user tables without row level security and views: what they can read. The columns of a table are those that authenticated may insert. Also
-- whether jobs are scheduled.
with caller as (
  select
    r.oid,
    r.rolname
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
),

-- What CREATE EXTENSION has made, and nobody has changed since: the lint extension_in_api judges it by its name. A function
-- that was added to an extension later, or lies elsewhere, is not among them.
of_extension (oid) as materialized (
  select p.oid
  from pg_extension as e
  inner join pg_depend as d
    on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
  inner join pg_proc as p on d.objid = p.oid and e.extnamespace = p.pronamespace and e.extowner = p.proowner and e.xmin = p.xmin
)

select
  'function' as kind,
  n.nspname as schema,
  format('%I.%I', n.nspname, p.proname) as name,
  format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
  array(
    select c.rolname::text from caller as c
    where has_function_privilege(c.oid, p.oid, 'execute')
    order by c.rolname desc
  ) as callers,
  p.proargnames[1:p.pronargs]::text[] as names,
  array(
    select (
        select format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null)
        from pg_type as t
        where t.oid = a.oid
      )
    from unnest(p.proargtypes) with ordinality as a (oid, number)
    order by a.number
  ) as types,
  coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as text
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
inner join pg_language as l on p.prolang = l.oid
where p.prokind = 'f'
  and n.nspname not in ('pg_catalog', 'information_schema')
  and l.lanname not in ('c', 'internal')
  and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
  and (p.prosecdef or (position('current_setting' in p.prosrc) > 0 and p.prosrc ~* '\mcurrent_setting\s*\(\s*[^''\s]'))
  and p.oid not in (select x.oid from of_extension as x)
  and format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) <> all($1)
union all
select
  'table',
  n.nspname,
  format('%I.%I', n.nspname, c.relname),
  format('%I.%I', n.nspname, c.relname),
  array(
    select r.rolname::text from caller as r
    where has_any_column_privilege(r.oid, c.oid, 'insert')
    order by r.rolname desc
  ),
  w.names,
  w.types,
  w.text
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select
    array_agg(quote_ident(a.attname) order by a.attnum) as names,
    array_agg(format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null) order by a.attnum) as types,
    (
      select string_agg(s.text, ' ') from (
        select f.prosrc as text
        from pg_trigger as g
        inner join pg_proc as f on g.tgfoid = f.oid and f.prosecdef
        where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled <> 'D'
        union all
        select replace(pg_get_ruledef(r.oid), 'CREATE RULE', '') from pg_rewrite as r
        where r.ev_class = c.oid and r.rulename <> '_RETURN'
      ) as s
    ) as text
  from pg_attribute as a
  inner join pg_type as t on a.atttypid = t.oid
  where a.attrelid = c.oid
    and a.attnum > 0
    and not a.attisdropped
    and a.attgenerated = ''
    and a.attidentity = ''
    and has_column_privilege('authenticated', c.oid, a.attnum, 'insert')
) as w
where c.relkind in ('r', 'v', 'p')
  and (c.relhastriggers or c.relhasrules)
  and n.nspname not in ('pg_catalog', 'information_schema', 'auth')
  and w.text is not null
  and w.names is not null
  and format('%I.%I', n.nspname, c.relname) <> all($1)
union all
select
  'relation',
  n.nspname,
  format('%I.%I', n.nspname, c.relname),
  format('%I.%I', n.nspname, c.relname),
  array(
    select r.rolname::text from caller as r
    where has_table_privilege(r.oid, c.oid, 'select')
    order by r.rolname
  ),
  '{}',
  '{}',
  ''
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind in ('r', 'p', 'v', 'm')
  and n.nspname not in ('pg_catalog', 'information_schema', 'auth', 'storage', 'graphql')
  and format('%I.%I', n.nspname, c.relname) <> all($1)
  and not (c.relkind in ('r', 'p') and c.relrowsecurity)
union all
select
  'schedule',
  '',
  'cron.job',
  'cron.job',
  '{}',
  '{}',
  '{}',
  ''
where has_table_privilege(to_regclass('cron.job'), 'select')
