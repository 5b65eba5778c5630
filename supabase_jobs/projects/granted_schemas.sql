-- $1 served, $2 platform_schemas
-- The schemas of the project whose tables and views API roles may use, if they may use none in the schemas of $1: a
-- project that has moved its tables serves another schema by a setting that it does not keep with its migrations.
with used as (
  select distinct n.nspname::text as schema
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  cross join unnest(array['anon', 'authenticated']) as r (role)
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname !~ '^pg_'
    and n.nspname <> all($2)
    and has_schema_privilege(to_regrole(r.role), n.oid, 'usage')
    and has_table_privilege(to_regrole(r.role), c.oid, 'select, insert, update, delete')
    and not exists (
      select from pg_depend as d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
)

select u.schema
from used as u
where not exists (
  select from used as s
  where s.schema = any($1)
)
order by u.schema
