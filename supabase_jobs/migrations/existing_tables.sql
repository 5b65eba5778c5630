-- $1 schemas, $2 names
-- The existing tables among these relations; an index stands for its table.
select distinct
  wanted.schema_name,
  wanted.relation_name,
  pg_catalog.format('%I.%I', n.nspname, t.relname) as table_name
from unnest($1::text [], $2::text []) as wanted (schema_name, relation_name)
inner join pg_catalog.pg_namespace as s on wanted.schema_name = s.nspname
inner join pg_catalog.pg_class as c on s.oid = c.relnamespace and wanted.relation_name = c.relname
left join pg_catalog.pg_index as i on c.oid = i.indexrelid
inner join pg_catalog.pg_class as t on coalesce(i.indrelid, c.oid) = t.oid and t.relkind in ('r', 'p', 'm', 'f')
inner join pg_catalog.pg_namespace as n on t.relnamespace = n.oid
