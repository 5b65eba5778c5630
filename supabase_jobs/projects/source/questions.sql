-- The questions that pg_dump asks about each object alone, as it writes them: see `projects.pipeline`. One that it does not
-- ask, or asks in other words, costs nothing but its answer.
with schemas as (
  select n.oid
  from pg_namespace as n
  where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
),

members as (
  select
    d.classid,
    d.objid
  from pg_depend as d
  where d.deptype = 'e'
),

functions as (
  select p.*
  from pg_proc as p
  where p.pronamespace in (select s.oid from schemas as s)
    and not exists (
      select from members as m
      where m.classid = 'pg_proc'::regclass and m.objid = p.oid
    )
),

relations as (
  select c.*
  from pg_class as c
  where c.relnamespace in (select s.oid from schemas as s)
    and not exists (
      select from members as m
      where m.classid = 'pg_class'::regclass and m.objid = c.oid
    )
)

select format('EXECUTE %s(''%s'')', case f.prokind when 'a' then 'dumpAgg' else 'dumpFunc' end, f.oid) as question
from functions as f

union all

select format('SELECT pg_catalog.format_type(''%s''::pg_catalog.oid, NULL)', t.type)
from (
  select unnest(f.proargtypes) as type from functions as f

  union

  select unnest(f.proallargtypes) from functions as f

  union

  select f.prorettype from functions as f
) as t

union all

select format(
  'EXECUTE %s(''%s'')',
  case t.typtype when 'e' then 'dumpEnumType' when 'd' then 'dumpDomain' else 'dumpRangeType' end,
  t.oid
)
from pg_type as t
where t.typnamespace in (select s.oid from schemas as s) and t.typtype in ('e', 'd', 'r')

union all

select format('EXECUTE dumpCompositeType(''%s'')', r.reltype)
from relations as r
where r.relkind = 'c'

union all

select format('SELECT pg_catalog.pg_get_viewdef(''%s''::pg_catalog.oid) AS viewdef', r.oid)
from relations as r
where r.relkind in ('v', 'm')

union all

select format('EXECUTE dumpTableAttach(''%s'')', r.oid)
from relations as r
where r.relispartition and r.relkind <> 'i'

union all

select format('SELECT pg_get_partkeydef(''%s'')', r.oid)
from relations as r
where r.relkind = 'p'

union all

select format('EXECUTE getColumnACLs(''%s'')', a.attrelid)
from pg_attribute as a
where a.attacl is not null and a.attrelid in (select r.oid from relations as r)
group by a.attrelid
