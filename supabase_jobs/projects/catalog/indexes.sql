-- $1 platform_schemas
-- Indexes of tables and materialized views, except those of constraints and those that belong to the index of a
-- partitioned table.
select
  o.object,
  'index' as kind,
  i.relname as name,
  (
    -- a partition that was detached has its own
    select coalesce(jsonb_agg(jsonb_build_array(o.object, 'column', a.attname) order by a.attnum), '[]')
      || jsonb_build_array(jsonb_build_array(o.object, 'partition', ''))
    from pg_attribute as a
    where a.attrelid = x.indrelid and a.attnum = any(x.indkey)
  ) as parents,
  pg_get_indexdef(x.indexrelid) || case when x.indisvalid then '' else ' (invalid)' end as value,
  pg_get_indexdef(x.indexrelid) || ';' as create_sql,
  format('drop index %I.%I;', n.nspname, i.relname) as drop_sql,
  null as replace_sql
from pg_index as x
inner join pg_class as i on x.indexrelid = i.oid
inner join pg_class as c on x.indrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
where n.nspname <> all($1)
  and n.nspname !~ '^pg_'
  and not i.relispartition
  and not exists (
    select from pg_constraint as k
    where k.conindid = x.indexrelid and k.conrelid = x.indrelid
  )
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
