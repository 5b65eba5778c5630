-- The name of a table, $1 and $2, and whether all of it is the project's own: none of ours, $4, and no part of one of
-- ours. Or it is one of ours, and its constraint, $3, is not. No row where both are ours.
with named as (
  select
    c.oid,
    n.nspname,
    c.relname,
    format('%I.%I', n.nspname, c.relname) as name
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
)

select
  it.name,
  it.name <> all($4) as whole
from named as it
where
  it.nspname = $1
  and it.relname = $2
  and case
    when it.name = any($4) then it.name || ':' || $3 <> all($4)
    else not exists (
      select
      from named as above
      where above.name = any($4) and above.oid in (select part.relid from pg_partition_ancestors(it.oid) as part)
    )
  end
