-- $1 platform_schemas
-- Schemas and their owners.
select
  format('%I', n.nspname) as object,
  v.kind,
  '' as name,
  '[]'::jsonb as parents,
  v.value,
  v.create_sql,
  v.drop_sql,
  v.replace_sql
from pg_namespace as n
cross join lateral (
  values
  ('schema', 'schema', format('create schema %I;', n.nspname), format('drop schema %I;', n.nspname), null),
  ('owner', pg_get_userbyid(n.nspowner), format('alter schema %I owner to %I;', n.nspname, pg_get_userbyid(n.nspowner)),
    '', format('alter schema %I owner to %I;', n.nspname, pg_get_userbyid(n.nspowner)))
) as v (kind, value, create_sql, drop_sql, replace_sql)
where n.nspname <> all($1)
  and n.nspname !~ '^pg_'
  -- which belongs to the platform; its privileges count
  and n.nspname <> 'public'
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e'
  )
