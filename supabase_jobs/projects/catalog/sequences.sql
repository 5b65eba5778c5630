-- $1 platform_schemas
-- Sequences, except those of identity columns. One that a column owns belongs to the column.
with sequence as (
  select
    c.oid,
    c.relowner,
    format('%I.%I', n.nspname, c.relname) as object,
    format('as %s increment by %s minvalue %s maxvalue %s start with %s cache %s %s', format_type(s.seqtypid, null),
      s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache, case when s.seqcycle then 'cycle' else 'no cycle' end)
      as parameters,
    o.owned_by,
    case
      when o.owned_by is null then '[]'::jsonb
      else jsonb_build_array(
        jsonb_build_array(o.owner_table, 'table', ''), jsonb_build_array(o.owner_table, 'column', o.owner_column)
      )
    end as parents
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  inner join pg_sequence as s on c.oid = s.seqrelid
  left join lateral (
    select
      format('%I.%I', m.nspname, t.relname) as owner_table,
      a.attname::text as owner_column,
      format('%I.%I.%I', m.nspname, t.relname, a.attname) as owned_by
    from pg_depend as d
    inner join pg_class as t on d.refobjid = t.oid
    inner join pg_namespace as m on t.relnamespace = m.oid
    inner join pg_attribute as a on d.refobjid = a.attrelid and d.refobjsubid = a.attnum
    where d.classid = 'pg_class'::regclass
      and d.objid = c.oid
      and d.refclassid = 'pg_class'::regclass
      and d.refobjsubid > 0
      and d.deptype = 'a'
  ) as o on true
  where n.nspname <> all($1)
    and n.nspname !~ '^pg_'
    and not exists (
      select from pg_depend as d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('e', 'i')
    )
)

select
  s.object,
  v.kind,
  '' as name,
  s.parents,
  v.value,
  v.create_sql,
  v.drop_sql,
  v.replace_sql
from sequence as s
cross join lateral (
  values
  ('sequence', 'sequence',
    format(E'create sequence %1$s %2$s;\nrevoke all on sequence %1$s from public, anon, authenticated, service_role;',
      s.object, s.parameters),
    format('drop sequence %s;', s.object), null),
  ('parameters', s.parameters, '', '', format('alter sequence %s %s;', s.object, s.parameters)),
  ('owner', pg_get_userbyid(s.relowner), format('alter sequence %s owner to %I;', s.object, pg_get_userbyid(s.relowner)), '',
    format('alter sequence %s owner to %I;', s.object, pg_get_userbyid(s.relowner))),
  ('owned by', s.owned_by, format('alter sequence %s owned by %s;', s.object, s.owned_by),
    format('alter sequence %s owned by none;', s.object), format('alter sequence %s owned by %s;', s.object, s.owned_by))
) as v (kind, value, create_sql, drop_sql, replace_sql)
where v.kind <> 'owned by' or s.owned_by is not null
