-- The types of extensions. A base type, whose code is in a library, becomes a domain over text.
select
  e.extname::text as extension,
  case t.typtype
    when 'e' then format('create type %I.%I as enum (%s)', n.nspname, t.typname, l.labels)
    when 'd' then format('create domain %I.%I as %s', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod))
    when 'c' then format('create type %I.%I as (%s)', n.nspname, t.typname, f.fields)
    else format('create domain %I.%I as text', n.nspname, t.typname)
  end as statement
from pg_type as t
inner join pg_namespace as n on t.typnamespace = n.oid
inner join pg_depend as d on t.oid = d.objid and d.classid = 'pg_type'::regclass and d.deptype = 'e'
inner join pg_extension as e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
left join pg_class as c on t.typrelid = c.oid
cross join lateral (
  select string_agg(quote_literal(u.enumlabel), ', ' order by u.enumsortorder) as labels
  from pg_enum as u
  where u.enumtypid = t.oid
) as l
cross join lateral (
  select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum) as fields
  from pg_attribute as a
  where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
) as f
where t.typelem = 0 and t.typtype in ('b', 'e', 'd', 'c') and (c.oid is null or c.relkind = 'c')
order by n.nspname, t.typname
