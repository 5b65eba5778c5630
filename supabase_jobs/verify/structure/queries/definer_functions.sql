-- Functions of nobody's migration that run as their owner, whom row level security does not hold back, and come to one
-- of our tables: they name it, a view over it, or a function that does. A request can call them, or set them off as
-- triggers of a table that it may write to.
with recursive relation (ours, oid) as (
  select
    c.oid as ours,
    c.oid
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where format('%I.%I', n.nspname, c.relname) = any($1)
    and c.relkind in ('r', 'p')
  union
  select
    r.ours,
    w.ev_class
  from relation as r
  inner join pg_depend as d
    on r.oid = d.refobjid and d.refclassid = 'pg_class'::regclass and d.classid = 'pg_rewrite'::regclass
  inner join pg_rewrite as w on d.objid = w.oid
  inner join pg_class as v on w.ev_class = v.oid and v.relkind in ('v', 'm')
  where w.ev_class <> r.oid
),

body as materialized (
  select
    p.oid,
    p.pronamespace,
    p.prosecdef,
    p.prorettype,
    t.text,
    t.text ~* '\m(update|delete|truncate|merge)\M' as changes,
    t.text ~* (
      '\mnew\s*\.\s*("[^"]+"|\w+)\s*:?=|\minto\s+(strict\s+)?new\M|\mnew\s*:=|(;|\mbegin|\mthen|\melse|\mloop)\s*new\s*='
      -- another row than the one that came
      || '|\mreturn\s+(?!((new|old|null|coalesce|case|when|then|else|end|tg_op)\M|''[^'']*''|[\s(),=<>])*;)'
    ) as answers,
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
    and p.prokind in ('f', 'p')
    and l.lanname not in ('c', 'internal')
),

-- a name in a body, in any case, with or without its schema and that with or without the database, quoted or not
pattern (classid, oid, text) as materialized (
  select
    o.classid,
    o.oid,
    '(?<![\w.$"])(("?' || regexp_replace(current_database(), '(\W)', '\\\1', 'g') || '"?\s*\.\s*)?"?'
    || regexp_replace(o.nspname, '(\W)', '\\\1', 'g') || '"?\s*\.\s*)?"?' || regexp_replace(o.name, '(\W)', '\\\1', 'g')
    || o.ends
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
),

-- by min, which no planner turns into a join: whatever the statistics say, only names that something has come to are
-- looked for, and not each in each body
comes_to (ours, oid, changes) as (
  select
    r.ours,
    b.oid,
    b.changes
  from relation as r
  cross join lateral (
    select min(p.text) as text from pattern as p
    where p.oid = r.oid and p.classid = 'pg_class'::regclass
  ) as m
  inner join body as b on b.text ~* m.text
  union
  select
    t.ours,
    b.oid,
    t.changes or b.changes
  from comes_to as t
  cross join lateral (
    select min(p.text) as text from pattern as p
    where p.oid = t.oid and p.classid = 'pg_proc'::regclass
  ) as m
  inner join body as b on t.oid <> b.oid and b.text ~* m.text
),

door as (
  select
    format('%I.%I', n.nspname, c.relname) as object,
    t.changes,
    b.answers,
    b.oid,
    b.pronamespace,
    b.prorettype,
    b.signature,
    b.kind
  from (
    select
      e.ours,
      e.oid,
      bool_or(e.changes) as changes
    from comes_to as e
    group by e.ours, e.oid
  ) as t
  inner join pg_class as c on t.ours = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  inner join body as b on t.oid = b.oid and b.prosecdef
  -- of one more of a name of ours, it is said elsewhere
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
  'function that runs as its owner' as kind,
  d.signature as name,
  'for ' || g.roles as value,
  '' as mend,
  format('alter %s %s security invoker;', d.kind, d.signature) as remove,
  'error' as unexpected,
  'error' as differs
from door as d
cross join lateral (
  select string_agg(x.name, ', ' order by x.name) as roles
  from caller as x
  where (
    has_function_privilege(x.name, d.oid, 'execute')
    and (x.name = 'public' or has_schema_privilege(x.name, d.pronamespace, 'usage'))
  )
  -- whoever calls an aggregate needs no right to the functions that it is made of
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
  'trigger that runs as its owner',
  d.signature,
  format('on %s', string_agg(distinct g.said, '; ' order by g.said)),
  '',
  format('alter function %s security invoker;', d.signature),
  -- what it only adds or looks up may be meant, unless it writes it into the row, which its caller can read
  case when d.changes or d.answers and bool_or(t.tgtype & 66 <> 0) then 'error' else 'warning' end,
  'error'
from door as d
inner join pg_trigger as t on d.oid = t.tgfoid and t.tgenabled <> 'D'
inner join pg_class as c on t.tgrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select format('%I.%I, for %s', n.nspname, c.relname, string_agg(x.name, ', ' order by x.name)) as said
  from caller as x
  where has_any_column_privilege(x.name, c.oid, 'insert, update')
    or has_table_privilege(x.name, c.oid, 'delete')
  having count(*) > 0
) as g
group by d.object, d.signature, d.changes, d.answers
