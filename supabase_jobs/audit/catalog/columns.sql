-- $1 schemas
-- Columns, with what is needed to generate a value. A domain is resolved to its base type; `checks` are the
-- definitions of the domain's constraints. `granted`: "role privilege"; `listed` are those that name the column.
select
  a.attrelid::bigint as relation,
  a.attnum::integer as position,
  a.attname::text as name,
  format_type(a.atttypid, a.atttypmod) as type,
  base.typname::text as base,
  base.typtype::text as typtype,
  base.typcategory::text as category,
  case when base.typtype = 'd' then d.typtypmod else a.atttypmod end as typmod,
  case
    when element.oid is null then null
    when element.typtype = 'b' then element.typname::text
    else format_type(element.oid, null)
  end as element,
  coalesce(element.typtype::text, '') as element_typtype,
  a.attnotnull or d.typnotnull as not_null,
  pg_get_expr(v.adbin, v.adrelid) as default_expression,
  a.attidentity::text as identity,
  a.attgenerated::text as generated,
  array(
    select e.enumlabel::text
    from pg_enum as e
    where e.enumtypid in (base.oid, element.oid)
    order by e.enumsortorder
  ) as labels,
  array(
    select pg_get_constraintdef(k.oid)
    from pg_constraint as k
    where k.contypid = d.oid
  ) as checks,
  array(
    select r.rolname || ' ' || p.privilege
    from pg_roles as r
    cross join unnest(array['SELECT', 'INSERT', 'UPDATE']) as p (privilege)
    where r.rolname in ('anon', 'authenticated', 'service_role')
      and has_column_privilege(r.oid, a.attrelid, a.attnum, p.privilege)
  ) as granted,
  (
    select count(*)::integer
    from pg_attribute as part
    where part.attrelid = coalesce(nullif(base.typrelid, 0), element.typrelid)
      and part.attnum > 0
      and not part.attisdropped
  ) as attributes,
  coalesce(col_description(a.attrelid, a.attnum), '') as description,
  array(
    select r.rolname || ' ' || e.privilege_type
    from aclexplode(a.attacl) as e
    inner join pg_roles as r on e.grantee = r.oid
    where r.rolname in ('anon', 'authenticated')
  ) as listed
from pg_attribute as a
inner join pg_class as c on a.attrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_type as d on a.atttypid = d.oid
inner join pg_type as base on case when d.typtype = 'd' then d.typbasetype else d.oid end = base.oid
left join pg_type as element on base.typelem = element.oid and base.typcategory = 'A'
left join pg_attrdef as v on a.attrelid = v.adrelid and a.attnum = v.adnum
where n.nspname = any($1)
  and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and a.attnum > 0
  and not a.attisdropped
order by a.attrelid, a.attnum
