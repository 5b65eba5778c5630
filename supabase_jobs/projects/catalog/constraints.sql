-- $1 platform_schemas
-- Constraints of tables. NOT NULL, a constraint from PostgreSQL 18 on, belongs to its column.
select
  o.object,
  'constraint' as kind,
  k.conname as name,
  (
    -- a partition that was detached has its own
    select coalesce(jsonb_agg(jsonb_build_array(o.object, 'column', a.attname) order by a.attnum), '[]')
      || jsonb_build_array(jsonb_build_array(o.object, 'partition', ''))
    from pg_attribute as a
    where a.attrelid = k.conrelid and a.attnum = any(k.conkey)
  ) as parents,
  pg_get_constraintdef(k.oid) as value,
  format('alter table %s add constraint %I %s;', o.object, k.conname, pg_get_constraintdef(k.oid)) as create_sql,
  format('alter table %s drop constraint %I;', o.object, k.conname) as drop_sql,
  null as replace_sql
from pg_constraint as k
inner join pg_class as c on k.conrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
where n.nspname <> all($1)
  and n.nspname !~ '^pg_'
  and k.contype not in ('n', 't')
  and k.conislocal
  and k.conparentid = 0
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
