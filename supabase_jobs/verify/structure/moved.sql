-- $1 missing, $2 managed
-- Where missing tables, columns and schemas are now: a table that has all columns of a missing one, a column of the same
-- type that is not recorded, a schema that has all functions of a missing one. `statement` gives their place and name
-- back, with the rows. No row if there are several.
with missing as (
  select
    m.object,
    coalesce(m.column, '') as "column",
    parse_ident(m.object) as name,
    m.parts
  from jsonb_to_recordset($1::jsonb) as m (object text, "column" text, parts text[])
),

attribute as (
  select
    c.oid,
    c.relname,
    n.nspname,
    format('%I.%I', n.nspname, c.relname) as object,
    a.attname,
    format('%s %s', a.attname, format_type(a.atttypid, a.atttypmod)) as part
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  inner join pg_attribute as a on c.oid = a.attrelid
  where c.relkind in ('r', 'p')
    and c.relpersistence <> 't'
    and n.nspname !~ '^pg_'
    and a.attnum > 0
    and not a.attisdropped
),

moved as (
  select
    m.object,
    m.column,
    concat_ws(
      E'\n',
      case
        when a.nspname <> m.name[1] then format('alter table %I.%I set schema %I;', a.nspname, a.relname, m.name[1])
      end,
      case
        when a.relname <> m.name[2] then format('alter table %I.%I rename to %I;', m.name[1], a.relname, m.name[2])
      end
    ) as statement
  from missing as m
  inner join attribute as a on a.object <> all($2)
  where m.column = ''
    and cardinality(m.name) = 2
  group by m.object, m.column, m.name, m.parts, a.nspname, a.relname
  having array_agg(a.part) @> m.parts
  union all
  select
    m.object,
    m.column,
    format('alter table %s rename column %I to %I;', a.object, a.attname, m.column)
  from missing as m
  inner join attribute as a on m.object = a.object and a.part <> all(m.parts)
  -- a column that was dropped leaves its place behind, one that was renamed does not
  where not exists (
    select
    from pg_attribute as d
    where d.attrelid = a.oid and d.attisdropped
  )
  -- its type is that of the missing column
  and format('%s %s', m.column, substr(a.part, length(a.attname) + 2)) = any(m.parts)
  union all
  select
    m.object,
    m.column,
    format('alter schema %I rename to %I;', n.nspname, m.name[1])
  from missing as m
  inner join pg_namespace as n on format('%I', n.nspname) <> all($2) and n.nspname !~ '^pg_'
  where cardinality(m.name) = 1
    and m.parts <@ array(
      select p.proname::text
      from pg_proc as p
      where p.pronamespace = n.oid
    )
)

select
  m.object,
  m.column,
  min(m.statement) as statement
from moved as m
group by m.object, m.column
having count(*) = 1
