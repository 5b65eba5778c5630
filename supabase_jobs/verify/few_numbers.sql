-- $1 tables
-- Sequences with fewer than 10,000 numbers left from which rows of these tables, or of auth.users, would take: by a default,
-- or because a trigger names a table with such a default. A rollback does not give numbers back.
with recursive few as (
  select
    c.oid,
    format('%I.%I', s.schemaname, s.sequencename) as name,
    abs((case when s.increment_by > 0 then s.max_value else s.min_value end
      - coalesce(s.last_value, s.start_value)) / s.increment_by) as numbers
  from pg_sequences as s
  inner join pg_namespace as n on s.schemaname = n.nspname
  inner join pg_class as c on n.oid = c.relnamespace and s.sequencename = c.relname
  where not s.cycle
    and abs((case when s.increment_by > 0 then s.max_value else s.min_value end
      - coalesce(s.last_value, s.start_value)) / s.increment_by) < 10000
),

takers as (
  select
    a.adrelid as relation,
    f.name,
    f.numbers
  from few as f
  inner join pg_depend as d on f.oid = d.refobjid and d.refclassid = 'pg_class'::regclass
  inner join pg_attrdef as a on d.objid = a.oid and d.classid = 'pg_attrdef'::regclass

  union

  select
    d.refobjid as relation,
    f.name,
    f.numbers
  from few as f
  inner join pg_depend as d on f.oid = d.objid and d.classid = 'pg_class'::regclass
  where d.refclassid = 'pg_class'::regclass and d.deptype = 'i'
),

reached as (
  select to_regclass(names.name)::oid as relation
  from unnest($1::text[] || '{auth.users}'::text[]) as names (name)
  where exists (select from takers)

  union

  select c.oid as relation
  from reached as r
  inner join pg_trigger as t on r.relation = t.tgrelid
  inner join pg_proc as p on t.tgfoid = p.oid
  inner join pg_class as c on strpos(lower(p.prosrc), lower(c.relname)) > 0 and c.relkind in ('r', 'p')
  where not t.tgisinternal and t.tgenabled <> 'D'
)

select distinct
  t.name,
  t.numbers::int8 as numbers
from takers as t
where t.relation in (select r.relation from reached as r)
order by t.name
