-- Indexes by name: their table, the names that plans contain, whether they are usable, their key columns in order, their
-- predicate. A column with a non-default operator class or collation has a suffix, and so it matches no declared column.
select
  format('%I.%I', n.nspname, i.relname) as name,
  format('%I.%I', m.nspname, c.relname) as object,
  -- the index and the table, and those of each partition; without quotes, as in plans
  array(
    select p.relname::text
    from pg_class as p
    where p.oid = i.oid or p.oid in (select t.relid from pg_partition_tree(i.oid) as t)
  ) as indexes,
  array(
    select s.nspname || '.' || p.relname
    from pg_class as p
    inner join pg_namespace as s on p.relnamespace = s.oid
    where p.oid = c.oid or p.oid in (select t.relid from pg_partition_tree(c.oid) as t)
  ) as relations,
  x.indisvalid and x.indisready and x.indislive as usable,
  (
    select array_agg(
      concat(
        pg_get_indexdef(x.indexrelid, k.number, true),
        case when not o.opcdefault then ' (another operator class)' end,
        case when x.indcollation[k.number - 1] <> coalesce(a.attcollation, 0) then ' (another collation)' end,
        case when x.indoption[k.number - 1] & 1 = 1 then ' desc' end,
        case x.indoption[k.number - 1] & 3 when 1 then ' nulls last' when 2 then ' nulls first' end
      )
      order by k.number
    )
    from generate_series(1, x.indnkeyatts::integer) as k (number)
    inner join pg_opclass as o on x.indclass[k.number - 1] = o.oid
    left join pg_attribute as a on x.indrelid = a.attrelid and x.indkey[k.number - 1] = a.attnum
  ) as columns,
  pg_get_expr(x.indpred, x.indrelid) as predicate
from pg_index as x
inner join pg_class as i on x.indexrelid = i.oid
inner join pg_namespace as n on i.relnamespace = n.oid
inner join pg_class as c on x.indrelid = c.oid
inner join pg_namespace as m on c.relnamespace = m.oid
where format('%I.%I', n.nspname, i.relname) = any($1)
