-- Composite types: owner, and the attributes with their types.
select
  t.object,
  v.kind,
  '' as name,
  v.value,
  v.create_sql,
  '' as drop_sql,
  'error' as unexpected_severity,
  'error' as deviation_severity
from (
  select
    format('%I.%I', n.nspname, c.relname) as object,
    pg_get_userbyid(c.relowner) as owner,
    (
      select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum)
      from pg_attribute as a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ) as attributes
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind = 'c' and format('%I.%I', n.nspname, c.relname) = any($1)
) as t
cross join lateral (
  values
  ('type', t.attributes, format('create type %s as (%s);', t.object, t.attributes)),
  ('owner', t.owner, format('alter type %s owner to %I;', t.object, t.owner))
) as v (kind, value, create_sql)
