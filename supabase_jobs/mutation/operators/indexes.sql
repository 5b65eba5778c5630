-- Indexes without a constraint: dropped, or with another predicate, other columns, another order, method or uniqueness.
with index as (
  select
    x.*,
    k.relname as name,
    format('%I.%I', n.nspname, c.relname) as object,
    format('drop index %I.%I;', n.nspname, k.relname) as drop,
    pg_get_indexdef(x.indexrelid) as definition,
    -- valid if no column is an expression that contains a comma or a parenthesis
    regexp_split_to_array(substring(pg_get_indexdef(x.indexrelid) from ' USING \w+ \(([^()]*)\)'), ', ') as columns,
    ' WHERE ' || pg_get_expr(x.indpred, x.indrelid) as predicate
  from pg_index as x
  inner join pg_class as k on x.indexrelid = k.oid
  inner join pg_class as c on x.indrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where not exists (
    select 1 from pg_constraint as o
    where o.conindid = x.indexrelid and o.conrelid = x.indrelid
  )
)

select
  array[v.operator, i.object, i.name] as id,
  i.object,
  format('index "%s": %s', i.name, v.description) as description,
  i.drop || v.definition as sql
from index as i
cross join lateral (
  values
  ('drop', 'dropped', ''),
  ('whole', 'without its predicate', replace(i.definition, i.predicate, '') || ';'),
  ('empty', 'its predicate is false', replace(i.definition, coalesce(i.predicate, ''), '') || ' WHERE false;'),
  ('negated', 'its predicate is negated',
    replace(i.definition, i.predicate, '') || ' WHERE NOT (' || substr(i.predicate, 8) || ');'),
  ('unique', case when i.indisunique then 'no longer unique' else 'unique' end,
    case when i.indisunique then replace(i.definition, 'CREATE UNIQUE INDEX', 'CREATE INDEX')
      else replace(i.definition, 'CREATE INDEX', 'CREATE UNIQUE INDEX') end || ';'),
  ('reversed', 'columns in reverse order',
    case when i.indnkeyatts > 1
      then replace(i.definition, array_to_string(i.columns, ', '), (
        select string_agg(c.text, ', ' order by c.number desc) from unnest(i.columns) with ordinality as c (text, number)
      )) || ';' end),
  ('not-included', 'without its included columns',
    case when i.indnatts > i.indnkeyatts then regexp_replace(i.definition, ' INCLUDE \([^)]*\)', '') || ';' end),
  ('hash', 'a hash index, which has no order',
    case when i.indnatts = 1 and not i.indisunique and i.definition !~ ' (DESC|NULLS)'
      then replace(i.definition, ' USING btree ', ' USING hash ') || ';' end)
) as v (operator, description, definition)
where i.object = any($1)
  and v.definition is not null
union all
select
  array[format('%s-%s', v.operator, c.number), i.object, i.name],
  i.object,
  format('index "%s": %s %s', i.name, c.text, v.description),
  i.drop || replace(i.definition, format('(%s)', array_to_string(i.columns, ', ')), v.list) || ';'
from index as i
cross join lateral unnest(i.columns) with ordinality as c (text, number)
cross join lateral (
  values
  ('descending', 'in the opposite order', case when i.definition ~ ' USING btree ' then format('(%s)', (
    select
      string_agg(case
        when o.number <> c.number then o.text
        when o.text ~ ' DESC' then split_part(o.text, ' DESC', 1)
        else split_part(o.text, ' NULLS', 1) || ' DESC'
      end, ', ' order by o.number)
    from unnest(i.columns) with ordinality as o (text, number)
  )) end),
  ('without', 'removed', case when i.indnkeyatts > 1 then format('(%s)', (
    select string_agg(o.text, ', ' order by o.number)
    from unnest(i.columns) with ordinality as o (text, number)
    where o.number <> c.number
  )) end),
  ('included', 'moved to INCLUDE',
    case when i.indnkeyatts > 1 and i.indnatts = i.indnkeyatts and i.definition ~ ' USING btree ' then format('(%s) include (%s)', (
      select string_agg(o.text, ', ' order by o.number)
      from unnest(i.columns) with ordinality as o (text, number)
      where o.number <> c.number
    ), split_part(c.text, ' ', 1)) end)
) as v (operator, description, list)
where i.object = any($1)
  and v.list is not null
