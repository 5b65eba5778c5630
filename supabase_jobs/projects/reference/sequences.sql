-- The statements after which the sequence of each identity or default goes on behind the rows of its table.
with sequences as (
  select
    d.refobjid as relation,
    d.refobjsubid as number,
    d.objid as sequence
  from pg_depend as d
  where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype = 'i'

  union

  select
    f.adrelid,
    f.adnum,
    d.refobjid
  from pg_attrdef as f
  inner join pg_depend as d on f.oid = d.objid and d.classid = 'pg_attrdef'::regclass
  where d.refclassid = 'pg_class'::regclass
)

select
  format(
    'select setval(%1$s::oid::regclass, max(t.%2$I)) from only %3$I.%4$I as t'
    ' having max(t.%2$I) >= (select s.last_value from %5$I.%6$I as s)',
    q.sequence,
    a.attname,
    n.nspname,
    c.relname,
    m.nspname,
    s.relname
  ) as statement
from sequences as q
inner join pg_class as s on q.sequence = s.oid and s.relkind = 'S'
inner join pg_namespace as m on s.relnamespace = m.oid
inner join pg_class as c on q.relation = c.oid and c.relkind = 'r'
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on q.relation = a.attrelid and q.number = a.attnum
where a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
order by n.nspname, c.relname, a.attnum
