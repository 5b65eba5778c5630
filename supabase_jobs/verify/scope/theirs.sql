-- The name of a table, $1 and $2, that is none of ours, $3, and no part of one of ours; no row where it is.
select c.oid::regclass::text as name
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
  n.nspname = $1
  and c.relname = $2
  and c.oid::regclass::text <> all($3)
  and not exists (
    select from pg_partition_ancestors(c.oid) as part
    where part.relid::regclass::text = any($3)
  )
