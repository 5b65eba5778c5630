-- The name of a table, $1 and $2, that is none of ours, $3, and no part of one of ours; no row where it is.
with named as (
  select
    c.oid,
    n.nspname,
    c.relname,
    format('%I.%I', n.nspname, c.relname) as name
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
)

select it.name
from named as it
where
  it.nspname = $1
  and it.relname = $2
  and it.name <> all($3)
  and not exists (
    select
    from named as above
    where above.name = any($3) and above.oid in (select part.relid from pg_partition_ancestors(it.oid) as part)
  )
