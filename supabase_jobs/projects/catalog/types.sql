-- $1 platform_schemas
-- Enums, domains, composite and range types, with their parts. PostgreSQL cannot drop a label: the type is made again.
with type as (
  select
    t.*,
    n.nspname,
    format('%I.%I', n.nspname, t.typname) as object
  from pg_type as t
  inner join pg_namespace as n on t.typnamespace = n.oid
  left join pg_class as c on t.typrelid = c.oid
  where n.nspname <> all($1)
    and n.nspname !~ '^pg_'
    and (t.typtype in ('e', 'd', 'r') or (t.typtype = 'c' and c.relkind = 'c'))
    and not exists (
      select from pg_depend as d
      where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e'
    )
),

label as (
  select
    t.oid,
    t.object,
    t.nspname,
    t.typname,
    e.enumlabel,
    lag(e.enumlabel) over w as previous,
    lead(e.enumlabel) over w as next,
    (
      select string_agg(quote_literal(o.enumlabel), ', ' order by o.enumsortorder)
      from pg_enum as o
      where o.enumtypid = t.oid and o.oid <> e.oid
    ) as others
  from type as t
  inner join pg_enum as e on t.oid = e.enumtypid
  window w as (partition by t.oid order by e.enumsortorder)
)

select
  t.object,
  v.kind,
  '' as name,
  '[]'::jsonb as parents,
  v.value,
  v.create_sql,
  format('drop %s %s;', case t.typtype when 'd' then 'domain' else 'type' end, t.object) as drop_sql,
  null as replace_sql
from type as t
cross join lateral (
  values
  (
    case t.typtype when 'e' then 'enum' end,
    'enum',
    (
      select format('create type %s as enum (%s);', t.object,
        string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder))
      from pg_enum as e
      where e.enumtypid = t.oid
    )
  ),
  (
    case t.typtype when 'd' then 'domain' end,
    'domain of ' || format_type(t.typbasetype, t.typtypmod),
    format('create domain %s as %s;', t.object, format_type(t.typbasetype, t.typtypmod))
  ),
  (
    case t.typtype when 'r' then 'range' end,
    (
      select 'range of ' || format_type(r.rngsubtype, null)
      from pg_range as r
      where r.rngtypid = t.oid
    ),
    (
      select format('create type %s as range (subtype = %s);', t.object, format_type(r.rngsubtype, null))
      from pg_range as r
      where r.rngtypid = t.oid
    )
  ),
  (
    case t.typtype when 'c' then 'composite type' end,
    'composite type',
    (
      select format('create type %s as (%s);', t.object,
        string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum))
      from pg_attribute as a
      where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    )
  )
) as v (kind, value, create_sql)
where v.kind is not null
union all
select
  t.object,
  'owner',
  '',
  '[]',
  pg_get_userbyid(t.typowner),
  format('alter type %s owner to %I;', t.object, pg_get_userbyid(t.typowner)),
  '',
  format('alter type %s owner to %I;', t.object, pg_get_userbyid(t.typowner))
from type as t
union all
select
  l.object,
  'label',
  l.enumlabel,
  '[]',
  'label',
  format('alter type %s add value if not exists %L', l.object, l.enumlabel)
  || coalesce(' after ' || quote_literal(l.previous), ' before ' || quote_literal(l.next), '') || ';',
  format(E'alter type %s rename to %I;\ncreate type %s as enum (%s);\n',
    l.object, l.typname || '_old', l.object, l.others)
  || coalesce((
    select
      string_agg(
        concat_ws(
          E'\n',
          case when x.value is not null then format('alter table %s alter column %I drop default;', x.relation, x.attname) end,
          format('alter table %s alter column %I type %s using %I::text::%s;', x.relation, x.attname, l.object || x.suffix,
            x.attname, l.object || x.suffix),
          case when x.value is not null then format('alter table %s alter column %I set default %s;', x.relation, x.attname,
            x.value) end
        ) || E'\n',
        ''
        order by x.relation, x.attname
      )
    from (
      select
        format('%I.%I', n.nspname, c.relname) as relation,
        a.attname,
        case when y.typelem = l.oid then '[]' else '' end as suffix,
        pg_get_expr(d.adbin, d.adrelid) as value
      from pg_attribute as a
      inner join pg_class as c on a.attrelid = c.oid and c.relkind in ('r', 'p')
      inner join pg_namespace as n on c.relnamespace = n.oid
      inner join pg_type as y on a.atttypid = y.oid
      left join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
      where (a.atttypid = l.oid or (y.typelem = l.oid and y.typcategory = 'A'))
        and not a.attisdropped
        and not c.relispartition
    ) as x
  ), '')
  || format('drop type %I.%I;', l.nspname, l.typname || '_old'),
  null
from label as l
union all
select
  t.object,
  'attribute',
  a.attname,
  '[]',
  format_type(a.atttypid, a.atttypmod),
  format('alter type %s add attribute %I %s;', t.object, a.attname, format_type(a.atttypid, a.atttypmod)),
  format('alter type %s drop attribute %I;', t.object, a.attname),
  format('alter type %s alter attribute %I type %s;', t.object, a.attname, format_type(a.atttypid, a.atttypmod))
from type as t
inner join pg_attribute as a on t.typrelid = a.attrelid
where t.typtype = 'c' and a.attnum > 0 and not a.attisdropped
union all
select
  t.object,
  'constraint',
  k.conname,
  '[]',
  pg_get_constraintdef(k.oid),
  format('alter domain %s add constraint %I %s;', t.object, k.conname, pg_get_constraintdef(k.oid)),
  format('alter domain %s drop constraint %I;', t.object, k.conname),
  null
from type as t
inner join pg_constraint as k on t.oid = k.contypid
where k.contype = 'c'
union all
select
  t.object,
  'default',
  '',
  '[]',
  t.typdefault,
  format('alter domain %s set default %s;', t.object, t.typdefault),
  format('alter domain %s drop default;', t.object),
  format('alter domain %s set default %s;', t.object, t.typdefault)
from type as t
where t.typtype = 'd' and t.typdefault is not null
union all
select
  t.object,
  'not null',
  '',
  '[]',
  'not null',
  format('alter domain %s set not null;', t.object),
  format('alter domain %s drop not null;', t.object),
  null
from type as t
where t.typtype = 'd' and t.typnotnull
