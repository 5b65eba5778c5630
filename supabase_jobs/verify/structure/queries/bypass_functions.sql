-- SECURITY DEFINER functions of the user that reach a managed table: they run as their owner, who bypasses row level
-- security. They name the table, a view of it, or a function that reaches it. A request can call them, or fire them as
-- triggers of a table that it may write to. A sign-up fires the triggers of schema auth. Also materialized views that
-- store the result of a function, of either security: the owner fills them.
with recursive relation (managed, oid) as (
  select
    c.oid as managed,
    c.oid
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where format('%I.%I', n.nspname, c.relname) = any($1)
    and c.relkind in ('r', 'p')
  union
  select
    r.managed,
    w.ev_class
  from relation as r
  inner join pg_depend as d
    on r.oid = d.refobjid and d.refclassid = 'pg_class'::regclass and d.classid = 'pg_rewrite'::regclass
  inner join pg_rewrite as w on d.objid = w.oid
  inner join pg_class as v on w.ev_class = v.oid and v.relkind in ('v', 'm')
  where w.ev_class <> r.oid
),

-- What CREATE EXTENSION has made, and nobody has changed since: the lint extension_in_api judges it by its name. A function
-- that was added to an extension later, or lies elsewhere, is not among them.
of_extension (oid) as materialized (
  select p.oid
  from pg_extension as e
  inner join pg_depend as d
    on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
  inner join pg_proc as p on d.objid = p.oid and e.extnamespace = p.pronamespace and e.extowner = p.proowner and e.xmin = p.xmin
),

body as materialized (
  select
    p.oid,
    p.pronamespace,
    p.prosecdef,
    p.prorettype,
    t.text,
    lower(t.text) as lower_text,
    l.lanname in ('sql', 'plpgsql') as is_parsed,
    p.proconfig,
    format('%I.%I', s.nspname, p.proname) as name,
    format('%I.%I(%s)', s.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as signature,
    case p.prokind when 'p' then 'procedure' else 'function' end as kind,
    s.nspname,
    p.proname
  from pg_proc as p
  inner join pg_namespace as s on p.pronamespace = s.oid
  inner join pg_language as l on p.prolang = l.oid
  cross join lateral (select coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as text) as t
  where s.nspname not in ('pg_catalog', 'information_schema')
    and p.prokind in ('f', 'p', 'w')
    and l.lanname not in ('c', 'internal')
    and p.oid not in (select x.oid from of_extension as x)
),

-- what the texts of the functions say that are reached: not materialized, because most are not
judged as not materialized (
  select
    b.*,
    b.is_parsed and b.text !~ '\$\w*\$|\\' as is_plain,
    -- other than the time of the last change in the row that NEW refers to
    regexp_replace(
      b.text,
      '\mupdate\s+[\w.]+(\s+(as\s+)?\w+)?\s+set\s+(last_\w+|updated)_at\s*=\s*'
      || '(now\(\)|clock_timestamp\(\)|statement_timestamp\(\)|current_timestamp)\s+where\s+[\w.]+\s*=\s*new\.\w+\s*;',
      '',
      'gi'
    ) ~* '\m(update|delete|truncate|merge)\M' as changes,
    b.text ~* (
      '\mnew\s*\.\s*("[^"]+"|\w+)\s*:?=|\minto\s+(strict\s+)?new\M|\mnew\s*:=|(;|\mbegin|\mthen|\melse|\mloop)\s*new\s*='
      -- returns another row than NEW or OLD
      || '|\mreturn\s+(?!((new|old|null|coalesce|case|when|then|else|end|tg_op)\M|''[^'']*''|[\s(),=<>])*;)'
    ) as changes_row,
    regexp_replace(regexp_replace(b.text, '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g') ~* 'confirmed_at' as confirmed
  from body as b
),

-- matches a name in a body, behind `(?<![\w.$"])`: any case, quoted or not, alone, with its schema, or with its database and
-- schema; `qualified` not alone
pattern (classid, oid, nspname, name, qualified, text) as materialized (
  select
    o.classid,
    o.oid,
    o.nspname,
    lower(o.name) as name,
    q.text || '"?' || q.name as qualified,
    format('(%s)?"?%s', q.text, q.name) as text
  from (
    select
      'pg_class'::regclass as classid,
      c.oid,
      n.nspname,
      c.relname as name,
      '"?(?![\w$])' as ends
    from (select distinct r.oid from relation as r) as r
    inner join pg_class as c on r.oid = c.oid
    inner join pg_namespace as n on c.relnamespace = n.oid
    union all
    select
      'pg_proc'::regclass,
      b.oid,
      b.nspname,
      b.proname,
      '"?\s*\('
    from body as b
  ) as o
  cross join lateral (
    select
      '("?' || regexp_replace(current_database(), '(\W)', '\\\1', 'g') || '"?\s*\.\s*)?"?'
      || regexp_replace(o.nspname, '(\W)', '\\\1', 'g') || '"?\s*\.\s*' as text,
      regexp_replace(o.name, '(\W)', '\\\1', 'g') || o.ends as name
  ) as q
),

-- The subquery uses min() because the planner cannot turn an aggregate into a join. With wrong statistics it could
-- otherwise match every name against every body instead of only the names that were reached. Most bodies do not have the
-- name at all, which position() sees in a tenth of the time.
reaches (managed, oid, changes) as (
  select
    r.managed,
    b.oid,
    b.changes
  from relation as r
  cross join lateral (
    select
      min(p.text) as text,
      min(p.qualified) as qualified,
      min(p.nspname) as nspname,
      min(p.name) as name
    from pattern as p
    where p.oid = r.oid and p.classid = 'pg_class'::regclass
  ) as m
  inner join judged as b on position(m.name in b.lower_text) > 0
  -- the schemas in which it finds names without one: null if its caller chooses them, or its text makes names or statements
  cross join lateral (
    select max(string_to_array(regexp_replace(substr(u.setting, strpos(u.setting, '=') + 1), '[\s"]', '', 'g'), ',')) as schemas
    from unnest(b.proconfig) as u (setting)
    where u.setting like 'search\_path=%' and b.text !~* '\m(search_path|execute|reg\w+|\w+_to_xml\w*|dblink\w*)\M'
  ) as c
  cross join lateral (
    select '(?<![\w.$"])' || case when c.schemas is null or m.nspname = any(c.schemas) then m.text else m.qualified end as text
  ) as n
  -- not in a comment, nor in a literal of a body that does nothing with a text
  cross join lateral (
    select regexp_replace(
      b.text, '(''(?:[^'']|'''')*''|"[^"]*")|--[^\n]*|/\*(?:[^*]|\*+[^*/])*\*+/', '\1 ', 'g'
    ) as text
  ) as w
  cross join lateral (
    select regexp_replace(w.text, '''(?:[^'']|'''')*''', '''''', 'g') as text
  ) as v
  where b.text ~* n.text
    and (not b.is_plain or case when v.text ~* '\(|::|\mexecute\M' then w.text else v.text end ~* n.text)
  union
  select
    t.managed,
    b.oid,
    t.changes or b.changes
  from reaches as t
  cross join lateral (
    select
      min(p.text) as text,
      min(p.name) as name
    from pattern as p
    where p.oid = t.oid and p.classid = 'pg_proc'::regclass
  ) as m
  inner join judged as b
    on t.oid <> b.oid and position(m.name in b.lower_text) > 0 and b.text ~* ('(?<![\w.$"])' || m.text)
),

-- views of these functions; those that are stored, or read a stored one
view_of (managed, oid, is_stored) as (
  select
    t.managed,
    w.ev_class,
    v.relkind = 'm'
  from reaches as t
  inner join pg_depend as d
    on t.oid = d.refobjid and d.refclassid = 'pg_proc'::regclass and d.classid = 'pg_rewrite'::regclass
  inner join pg_rewrite as w on d.objid = w.oid
  inner join pg_class as v on w.ev_class = v.oid and v.relkind in ('v', 'm')
  -- without one, nothing has to be searched
  where exists (
      select 1 from pg_class as x
      where x.relkind = 'm'
    )
  union
  select
    o.managed,
    w.ev_class,
    o.is_stored or v.relkind = 'm'
  from view_of as o
  inner join pg_depend as d
    on o.oid = d.refobjid and d.refclassid = 'pg_class'::regclass and d.classid = 'pg_rewrite'::regclass
  inner join pg_rewrite as w on d.objid = w.oid
  inner join pg_class as v on w.ev_class = v.oid and v.relkind in ('v', 'm')
  where w.ev_class <> o.oid
),

bypass as (
  select
    format('%I.%I', n.nspname, c.relname) as object,
    t.changes,
    b.changes_row,
    b.confirmed,
    b.oid,
    b.pronamespace,
    b.prorettype,
    b.signature,
    b.kind
  from (
    select
      e.managed,
      e.oid,
      bool_or(e.changes) as changes
    from reaches as e
    group by e.managed, e.oid
  ) as t
  inner join pg_class as c on t.managed = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  inner join judged as b on t.oid = b.oid and b.prosecdef
  -- functions.sql reports overloads of managed functions
  where b.name not in (
    select split_part(s.name, '(', 1)
    from unnest($1::text[]) as s (name)
    where s.name like '%(%'
  )
),

caller as (
  select
    'public' as name,
    null::oid as oid
  union
  select
    o.rolname::text,
    o.oid
  from pg_roles as o
  where not o.rolbypassrls
    and (
      o.rolname in ('anon', 'authenticated')
      or (o.rolname <> 'authenticator' and pg_has_role(to_regrole('authenticator')::oid, o.oid, 'member'))
    )
)

select
  d.object,
  'function that bypasses row level security' as kind,
  d.signature as name,
  'executable by ' || g.roles as value,
  '' as create_sql,
  format('alter %s %s security invoker;', d.kind, d.signature) as drop_sql,
  'error' as unexpected_severity,
  'error' as deviation_severity
from bypass as d
cross join lateral (
  select string_agg(x.name, ', ' order by x.name) as roles
  from caller as x
  where (
    has_function_privilege(x.name, d.oid, 'execute')
    and (x.name = 'public' or has_schema_privilege(x.name, d.pronamespace, 'usage'))
  )
  -- the caller of an aggregate needs no privilege on its support functions
  or exists (
    select 1 from pg_aggregate as a
    where has_function_privilege(x.name, a.aggfnoid, 'execute')
      and d.oid in (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
  )
) as g
where d.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
  and g.roles is not null
union all
select
  d.object,
  'trigger that bypasses row level security',
  d.signature,
  format('on %s', string_agg(distinct g.writers, '; ' order by g.writers)),
  '',
  format('alter function %s security invoker;', d.signature),
  -- A trigger that only inserts or reads, or sets the time of the last change, can be intended. A BEFORE or INSTEAD OF
  -- trigger that puts a query result into the row is an error, because the caller can read that row. Whoever signs up
  -- chooses the email address, so a trigger of a sign-up that changes rows has to wait until the address is confirmed.
  case
    when d.changes and bool_or(not g.signs_up or not (d.confirmed or pg_get_triggerdef(t.oid) ~* 'confirmed_at'))
      or d.changes_row and bool_or(not g.signs_up and t.tgtype & 66 <> 0) then 'error'
    else 'untried'
  end,
  'error'
from bypass as d
inner join pg_trigger as t on d.oid = t.tgfoid and t.tgenabled <> 'D'
inner join pg_class as c on t.tgrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select
    format('%I.%I, for %s', n.nspname, c.relname, string_agg(x.name, ', ' order by x.name)) as writers,
    false as signs_up
  from caller as x
  where has_any_column_privilege(x.name, c.oid, 'insert, update')
    or has_table_privilege(x.name, c.oid, 'delete')
  having count(*) > 0
  union all
  select
    format('%I.%I, for everyone who signs up', n.nspname, c.relname),
    true
  where n.nspname = 'auth'
    and t.tgtype & 20 <> 0 -- insert or update
) as g
group by d.object, d.signature, d.changes, d.changes_row, d.confirmed
union all
select distinct
  format('%I.%I', n.nspname, c.relname),
  'view that bypasses row level security',
  s.name,
  'usable by ' || g.roles,
  '',
  format('revoke all on table %s from public, anon, authenticated;', s.name),
  'error',
  'error'
from view_of as o
inner join pg_class as c on o.managed = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_class as v on o.oid = v.oid
inner join pg_namespace as m on v.relnamespace = m.oid
cross join lateral (select format('%I.%I', m.nspname, v.relname) as name) as s
cross join lateral (
  select string_agg(x.name, ', ' order by x.name) as roles
  from caller as x
  where has_any_column_privilege(x.name, v.oid, 'select')
) as g
where o.is_stored
  and g.roles is not null
  and s.name <> all($1)
  -- such a view reads the stored one as its caller
  and not exists (
    select 1 from pg_options_to_table(v.reloptions) as p
    where p.option_name = 'security_invoker' and p.option_value::boolean
  )
