-- $1 platform_schemas
-- Publications, and the tables that they contain. Those of Supabase Realtime belong to the platform, their tables do not.
select
  quote_ident(p.pubname) as object,
  'publication' as kind,
  '' as name,
  '[]'::jsonb as parents,
  case when p.puballtables then 'for all tables' else 'for some tables' end as value,
  format('create publication %I%s;', p.pubname, case when p.puballtables then ' for all tables' else '' end) as create_sql,
  format('drop publication %I;', p.pubname) as drop_sql,
  null as replace_sql
from pg_publication as p
where p.pubname !~ '^supabase_realtime'
union all
select
  o.object,
  'publication of table',
  p.pubname,
  jsonb_build_array(jsonb_build_array(o.object, 'table', ''), jsonb_build_array(quote_ident(p.pubname), 'publication', '')),
  'published' || s.columns || s.condition,
  format('alter publication %I add table %s%s%s;', p.pubname, o.object, s.columns, s.condition),
  format('alter publication %I drop table %s;', p.pubname, o.object),
  null
from pg_publication_rel as r
inner join pg_publication as p on r.prpubid = p.oid
inner join pg_class as c on r.prrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
cross join lateral (
  select
    coalesce((
      select ' (' || string_agg(quote_ident(a.attname), ', ' order by a.attnum) || ')'
      from pg_attribute as a
      where a.attrelid = c.oid and a.attnum = any(r.prattrs)
    ), '') as columns,
    coalesce(' where ' || pg_get_expr(r.prqual, r.prrelid), '') as condition
) as s
where n.nspname <> all($1)
  and n.nspname !~ '^pg_'
