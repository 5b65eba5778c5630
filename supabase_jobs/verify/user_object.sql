-- $1 schema, $2 name, $3 constraint, $4 managed
-- The table, if it or its constraint is a user object. `whole_table`: the table itself is one; else only the constraint.
-- A partition of a managed table is managed. No row if table and constraint are managed.
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
  refusing.name,
  refusing.name <> all($4) as whole_table
from named as refusing
where
  refusing.nspname = $1
  and refusing.relname = $2
  and case
    when refusing.name = any($4) then refusing.name || ':' || $3 <> all($4)
    else not exists (
      select
      from named as ancestor
      where
        ancestor.name = any($4)
        and ancestor.oid in (select part.relid from pg_partition_ancestors(refusing.oid) as part)
    )
  end
