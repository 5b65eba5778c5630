-- $1 managed
-- User functions that run as their owner, or return a setting that their caller names, and user tables whose triggers, rules
-- or generated columns do, or that refer to a managed table: what requests can call and write to. And user tables and views:
-- what they can read. A function of a row of `relation` is a computed column of the API. A source is a table of the user that
-- requests write, for what reads it.
-- The columns of a table are those that authenticated may insert; those of a computed column are all. `required`: it has to
-- have a value. `refers`: the table that its foreign key refers to. Requests change or delete the rows of a `kept` table, and
-- insert none. A member is any user table, with the text of its policies. Also whether jobs are scheduled, and what a sign-up runs.
-- `shown_by`: the names by which a text may read it, its own and those of the relations that show rows of a source.
with recursive caller as (
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
),

user_function as materialized (
  select
    p.oid,
    p.proname,
    p.pronamespace,
    p.proargnames,
    p.pronargs,
    p.proargtypes,
    p.prorettype,
    p.prosecdef,
    pg_get_expr(p.proargdefaults, 0) as defaults,
    n.nspname,
    format('%I.%I', n.nspname, p.proname) as name,
    o.object,
    t.text,
    -- it may run text, make its caller another one, return a setting that its caller names, or read a queue
    o.object <> all($1)
    and t.text ~* (
      '(\mexecute\M|\mset_config\M|\mpg_settings\M|_to_xml|\mpgmq\M|\mset\s+(local\s+|session\s+)?(role|session|"|request)'
      || '|\mcurrent_setting\s*\(\s*[^''\s])'
    ) as acts
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  inner join pg_language as l on p.prolang = l.oid
  cross join lateral (select coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as text) as t
  cross join lateral (
    select format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object
  ) as o
  where p.prokind = 'f'
    and n.nspname not in ('pg_catalog', 'information_schema')
    and l.lanname not in ('c', 'internal')
    and p.oid not in (select x.oid from of_extension as x)
),

-- the functions that do this or run as their owner, and those that call them, with what they run
acting (oid, name, text) as (
  select
    f.oid,
    f.proname,
    f.text
  from user_function as f
  where f.acts
    -- requests call it through another one
    or (f.prosecdef and f.nspname <> 'public' and f.object <> all($1))
  union
  select
    f.oid,
    f.proname,
    f.text || ' ' || a.text
  from acting as a
  inner join user_function as f on a.oid <> f.oid and position(a.name in f.text) > 0
  where f.object <> all($1)
    and position(f.text in a.text) = 0
    and f.text ~* ('\m' || regexp_replace(a.name, '(\W)', '\\\1', 'g') || '"?\s*\(')
),

tried (oid) as materialized (
  select f.oid from user_function as f
  where f.prosecdef
  union
  select a.oid from acting as a
),

-- the table or view whose row is the only argument of a function
computed (oid, relid) as (
  select
    f.oid,
    t.typrelid
  from user_function as f
  inner join pg_type as t on f.proargtypes[0] = t.oid
  where f.pronargs = 1
    and f.oid in (select x.oid from tried as x)
    and t.typrelid <> 0
),

-- the views of user relations
read_by (view, oid) as materialized (
  select distinct
    w.ev_class,
    d.refobjid
  from pg_depend as d
  inner join pg_rewrite as w on d.objid = w.oid and d.refobjid <> w.ev_class
  inner join pg_class as v on w.ev_class = v.oid and v.relkind = 'v'
  inner join pg_class as c on d.refobjid = c.oid and c.relnamespace not in ('pg_catalog'::regnamespace, 'auth'::regnamespace)
  where d.classid = 'pg_rewrite'::regclass
    and d.refclassid = 'pg_class'::regclass
    and v.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
),

-- the foreign keys whose rows are deleted with the one that they refer to, with the key of their own table
cascading as materialized (
  select
    k.conrelid,
    k.confrelid,
    format('%I.%I', n.nspname, c.relname) as name,
    quote_ident(a.attname) as refers,
    format('current_setting(''verify.row'')::%s', format_type(a.atttypid, a.atttypmod)) as row,
    quote_ident(i.attname) as key,
    i.atttypid as type
  from pg_constraint as k
  inner join pg_class as c on k.conrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  inner join pg_attribute as a on c.oid = a.attrelid and a.attnum = k.conkey[1]
  inner join pg_index as x on c.oid = x.indrelid and x.indisprimary and x.indnkeyatts = 1
  inner join pg_attribute as i on c.oid = i.attrelid and i.attnum = x.indkey[0]
  where k.contype = 'f'
    and k.confdeltype = 'c'
    and cardinality(k.conkey) = 1
),

-- the statement by which rows of others refer to a row that they are deleted with, if need be through rows of other tables
cascade (relid, text, row, path) as (
  select
    k.confrelid,
    format('update %s set %s = %s where %s = any(current_setting(''verify.ids'')::uuid[])', k.name, k.refers, k.row, k.key),
    k.row,
    array[k.conrelid]
  from cascading as k
  where k.type = 'uuid'::regtype
    and (k.name = any($1) or k.name = 'auth.users')
  union all
  select
    k.confrelid,
    format(
      'with s%s as (insert into %s (%s) values (%s) returning %s as key)%s %s', cardinality(e.path), k.name, k.refers, k.row, k.key,
      case when e.text like 'with %' then ',' else '' end,
      replace(regexp_replace(e.text, '^with ', ''), e.row, format('(select key from s%s)', cardinality(e.path)))
    ),
    k.row,
    e.path || k.conrelid
  from cascade as e
  inner join cascading as k on e.relid = k.conrelid and k.conrelid <> all(e.path)
  where k.name <> all($1)
    and k.name not like 'auth.%'
),

-- the relations that show rows of each other: a table, the views of it, and what those read
shares (relid, other) as (
  select
    o.oid as relid,
    o.oid as other
  from read_by as d
  cross join lateral (values (d.view), (d.oid)) as o (oid)
  union
  select
    e.relid,
    o.oid
  from shares as e
  inner join read_by as d on e.other in (d.view, d.oid)
  cross join lateral (values (d.view), (d.oid)) as o (oid)
),

target (relid, kind, text) as (
  select
    c.oid,
    case when has_any_column_privilege('authenticated', c.oid, 'insert') then 'table' else 'kept' end,
    s.text
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  cross join lateral (
    select string_agg(s.text, ' ') as text from (
      select f.prosrc as text
      from pg_trigger as g
      inner join pg_proc as f on g.tgfoid = f.oid
      where g.tgrelid = c.oid
        and not g.tgisinternal
        and g.tgenabled <> 'D'
        and g.tgfoid in (select x.oid from tried as x)
      union all
      select replace(pg_get_ruledef(r.oid), 'CREATE RULE', '') from pg_rewrite as r
      where r.ev_class = c.oid and r.rulename <> '_RETURN'
      union all
      select u.text
      from pg_attrdef as a
      inner join pg_depend as d on a.oid = d.objid and d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_proc'::regclass
      inner join user_function as u on d.refobjid = u.oid
      where a.adrelid = c.oid and u.nspname <> 'auth'
      union all
      -- requests write into the tables of Auth through it
      select ''
      from pg_rewrite as w
      inner join pg_depend as d on w.oid = d.objid and d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
      inner join pg_class as o on d.refobjid = o.oid and o.relkind in ('r', 'p') and o.relnamespace = to_regnamespace('auth')
      where w.ev_class = c.oid and c.relkind = 'v'
      union all
      select ''
      from pg_constraint as k
      inner join pg_class as o on k.confrelid = o.oid
      inner join pg_namespace as m on o.relnamespace = m.oid
      where k.conrelid = c.oid and k.contype = 'f' and k.confdeltype in ('a', 'r') and format('%I.%I', m.nspname, o.relname) = any($1)
    ) as s
  ) as s
  where c.relkind in ('r', 'v', 'p')
    and n.nspname not in ('pg_catalog', 'information_schema', 'auth', 'storage', 'realtime', 'cron', 'net', 'vault')
    and s.text is not null
    and format('%I.%I', n.nspname, c.relname) <> all($1)
  union
  select
    k.relid,
    'parent',
    k.text
  from cascade as k
  inner join pg_class as c on k.relid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where n.nspname not in ('auth', 'storage')
    and format('%I.%I', n.nspname, c.relname) <> all($1)
  union
  -- rows of it show ids of managed rows
  select
    c.oid,
    'holder',
    ''
  from pg_constraint as k
  inner join pg_class as c on k.conrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  inner join pg_class as o on k.confrelid = o.oid
  inner join pg_namespace as m on o.relnamespace = m.oid
  where k.contype = 'f'
    and cardinality(k.conkey) = 1
    and format('%I.%I', m.nspname, o.relname) = any($1)
    and format('%I.%I', n.nspname, c.relname) <> all($1)
  union
  -- row level security may let nobody write
  select
    c.oid,
    'source',
    ''
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p', 'v')
    and n.nspname not in ('pg_catalog', 'information_schema', 'auth', 'storage', 'realtime', 'cron', 'net', 'vault')
    and format('%I.%I', n.nspname, c.relname) <> all($1)
    and (
      not c.relrowsecurity
      or exists (
        select from pg_policy as p
        where p.polrelid = c.oid and p.polcmd in ('a', 'w', '*')
      )
    )
  union
  -- users change its rows, and insert none
  select
    c.oid,
    'changed',
    ''
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p')
    and n.nspname not in ('pg_catalog', 'information_schema', 'auth', 'storage', 'realtime', 'cron', 'net', 'vault')
    and format('%I.%I', n.nspname, c.relname) <> all($1)
    and has_any_column_privilege('authenticated', c.oid, 'update')
    and not has_any_column_privilege('authenticated', c.oid, 'insert')
  union
  -- rows of it may make users members of the same group: with what its policies read
  select
    c.oid,
    'member',
    (
      select coalesce(string_agg(concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid), f.text), ' '), '')
      from pg_policy as p
      left join lateral (
        select string_agg(u.text, ' ') as text
        from pg_depend as d
        inner join user_function as u on d.refobjid = u.oid and d.refclassid = 'pg_proc'::regclass and u.nspname <> 'auth'
        where d.classid = 'pg_policy'::regclass and d.objid = p.oid
      ) as f on true
      where p.polrelid = c.oid
    )
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p')
    and not c.relispartition
    and n.nspname not in ('pg_catalog', 'information_schema', 'auth', 'storage', 'realtime', 'cron', 'net', 'vault', 'supabase_migrations')
    and format('%I.%I', n.nspname, c.relname) <> all($1)
  union
  select
    o.relid,
    'computed',
    ''
  from computed as o
  inner join pg_class as c on o.relid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  -- the fixture has rows of managed tables
  where format('%I.%I', n.nspname, c.relname) <> all($1)
),

columns as (
  select
    t.relid,
    t.kind,
    t.text,
    array_agg(quote_ident(a.attname) order by a.attnum) as names,
    array_agg(format_type(coalesce(nullif(y.typbasetype, 0), y.oid), null) order by a.attnum) as types,
    array_agg(a.attnotnull and not a.atthasdef order by a.attnum) as required,
    array_agg(
      (
        select coalesce(min(o.name), '') from (
          select k.confrelid::regclass::text as name
          from pg_constraint as k
          where k.conrelid = t.relid and k.contype = 'f' and k.conkey = array[a.attnum]
          union all
          -- whoever inserts the row
          select 'auth.users'
          from pg_attrdef as d
          where t.kind = 'member' and d.adrelid = t.relid and d.adnum = a.attnum and pg_get_expr(d.adbin, d.adrelid) = 'auth.uid()'
        ) as o
      )
      order by a.attnum
    ) as refers
  from target as t
  inner join pg_attribute as a on t.relid = a.attrelid
  inner join pg_type as y on a.atttypid = y.oid
  where a.attnum > 0
    and not a.attisdropped
    and a.attgenerated = ''
    and (a.attidentity = '' or t.kind = 'member')
    and (
      t.kind in ('computed', 'parent', 'holder', 'kept', 'member')
      or has_column_privilege('authenticated', t.relid, a.attnum, case t.kind when 'changed' then 'update' else 'insert' end)
    )
  group by t.relid, t.kind, t.text
)

select
  case when o.relid is null then 'function' else 'computed' end as kind,
  f.nspname as schema,
  f.name,
  f.object,
  array(
    select c.rolname::text from caller as c
    where has_function_privilege(c.oid, f.oid, 'execute')
      and (o.relid is null or has_any_column_privilege(c.oid, o.relid, 'select'))
    order by c.rolname desc
  ) as callers,
  case when o.relid is null then f.proargnames[1:f.pronargs]::text[] else w.names end as names,
  case
    when o.relid is not null then coalesce(w.types, '{}')
    else array(
      select (
          select format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null)
          from pg_type as t
          where t.oid = a.oid
        )
      from unnest(f.proargtypes) with ordinality as a (oid, number)
      order by a.number
    )
  end as types,
  coalesce(
    (
      select a.text from acting as a
      where a.oid = f.oid
      order by length(a.text) desc
      limit 1
    ),
    f.text
  ) || coalesce(' ' || f.defaults, '') as text,
  coalesce(w.required, '{}') as required,
  coalesce(w.refers, '{}') as refers,
  coalesce(quote_ident(m.nspname) || '.' || quote_ident(r.relname), '') as relation,
  '' as key,
  '{}' as fires,
  '{}' as events,
  array[f.proname::text] as shown_by
from user_function as f
left join computed as o on f.oid = o.oid
left join columns as w on o.relid = w.relid and w.kind = 'computed'
left join pg_class as r on o.relid = r.oid
left join pg_namespace as m on r.relnamespace = m.oid
where f.oid in (select x.oid from tried as x)
  and f.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
  and f.object <> all($1)
union all
select
  w.kind,
  n.nspname,
  format('%I.%I', n.nspname, c.relname),
  format('%I.%I', n.nspname, c.relname),
  array(
    select r.rolname::text from caller as r
    where case w.kind
        when 'parent' then has_table_privilege(r.oid, c.oid, 'delete')
        when 'changed' then has_any_column_privilege(r.oid, c.oid, 'update')
        when 'member' then has_any_column_privilege(r.oid, c.oid, 'update') or has_table_privilege(r.oid, c.oid, 'delete')
        when 'kept' then has_any_column_privilege(r.oid, c.oid, 'update') or has_table_privilege(r.oid, c.oid, 'delete')
        else has_any_column_privilege(r.oid, c.oid, 'insert')
      end
      -- row level security refuses a role that no policy is for
      and (
        not c.relrowsecurity
        or exists (
          select from pg_policy as p
          cross join unnest(p.polroles) as o (oid)
          where p.polrelid = c.oid and (o.oid = 0 or pg_has_role(r.oid, o.oid, 'member'))
        )
      )
    order by r.rolname desc
  ),
  w.names,
  w.types,
  w.text,
  w.required,
  w.refers,
  case c.relkind when 'v' then 'view' else '' end,
  coalesce(
    (
      select quote_ident(a.attname)
      from pg_index as i
      inner join pg_attribute as a on i.indrelid = a.attrelid and i.indkey[0] = a.attnum
      where i.indrelid = c.oid and i.indisprimary and i.indnkeyatts = 1
    ),
    ''
  ),
  coalesce(g.fires, '{}'),
  coalesce(g.events, '{}'),
  array(
    select c.relname::text
    union
    select o.relname::text from shares as e
    inner join pg_class as o on e.other = o.oid
    where e.relid = c.oid and w.kind in ('source', 'changed')
  )
from columns as w
inner join pg_class as c on w.relid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
left join lateral (
  select
    array_agg(distinct format('%I.%I()', m.nspname, f.proname)) as fires,
    array_agg(distinct e.name) as events
  from pg_trigger as t
  inner join pg_proc as f on t.tgfoid = f.oid
  inner join pg_namespace as m on f.pronamespace = m.oid
  cross join (values ('insert', 4), ('delete', 8), ('update', 16)) as e (name, bit)
  where t.tgrelid = c.oid
    and not t.tgisinternal
    and t.tgqual is null
    and t.tgtype & e.bit <> 0
    and not exists (
      select from pg_trigger as o
      where o.tgfoid = f.oid and o.tgrelid <> c.oid
    )
) as g on true
where w.kind in ('table', 'kept', 'source', 'changed', 'parent', 'member')
union all
select
  'relation',
  -- the functions of pgmq_public read and change queues as their caller
  case n.nspname when 'pgmq' then coalesce(to_regnamespace('pgmq_public')::text, n.nspname) else n.nspname end,
  format('%I.%I', n.nspname, c.relname),
  format('%I.%I', n.nspname, c.relname),
  array(
    select r.rolname::text from caller as r
    where has_table_privilege(r.oid, c.oid, 'select')
    order by r.rolname
  ),
  coalesce(w.names, '{}'),
  coalesce(w.types, '{}'),
  '',
  coalesce(w.required, '{}'),
  coalesce(w.refers, '{}'),
  case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end,
  '',
  '{}',
  '{}',
  array[c.relname::text]
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
left join columns as w on c.oid = w.relid and w.kind = 'holder'
where c.relkind in ('r', 'p', 'v', 'm')
  and n.nspname not in ('pg_catalog', 'information_schema', 'auth', 'graphql')
  and format('%I.%I', n.nspname, c.relname) <> all($1)
  -- without a policy, nobody reads it
  and not (
    c.relkind in ('r', 'p') and c.relrowsecurity and not exists (
      select from pg_policy as p
      where p.polrelid = c.oid and p.polcmd in ('r', '*')
    )
  )
union all
select
  'messages',
  'realtime',
  'realtime.messages',
  'realtime.messages',
  array['anon'],
  '{}',
  '{}',
  '',
  '{}',
  '{}',
  '',
  '',
  '{}',
  '{}',
  array['messages']
where has_table_privilege(to_regclass('realtime.messages'), 'select')
  and exists (
    select from user_function as f
    where f.nspname not in ('realtime', 'auth') and position('realtime.' in f.text) > 0
  )
union all
select
  'schedule',
  '',
  'cron.job',
  'cron.job',
  '{}',
  '{}',
  '{}',
  '',
  '{}',
  '{}',
  '',
  '',
  '{}',
  '{}',
  array['job']
where has_table_privilege(to_regclass('cron.job'), 'select')
union all
select
  'sign-up',
  'auth',
  'auth.users',
  'auth.users',
  array['authenticated'],
  '{}',
  '{}',
  string_agg(f.prosrc, ' '),
  '{}',
  '{}',
  '',
  '',
  array_agg(distinct format('%I.%I()', n.nspname, f.proname)),
  '{}',
  array['users']
from pg_trigger as t
inner join pg_proc as f on t.tgfoid = f.oid
inner join pg_namespace as n on f.pronamespace = n.oid
where t.tgrelid = to_regclass('auth.users')
  and not t.tgisinternal
  and t.tgenabled <> 'D'
having count(*) > 0
union all
select distinct
  'state',
  '',
  f.name,
  f.object,
  array['authenticated'],
  '{}'::text [],
  '{}'::text [],
  f.text,
  '{}'::boolean [],
  '{}'::text [],
  '',
  '',
  '{}'::text [],
  '{}'::text [],
  array[f.proname::text]
from pg_trigger as t
inner join pg_class as c on t.tgrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join user_function as f on t.tgfoid = f.oid
where format('%I.%I', n.nspname, c.relname) = any($1)
  and not t.tgisinternal
  and t.tgenabled <> 'D'
  and f.object <> all($1)
  and f.text ~* '\m(user_id|guest_id)\M'
