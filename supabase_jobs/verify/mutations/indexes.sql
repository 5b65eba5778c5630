-- Indexes that belong to no constraint: dropped, other rows, unique or not.
select
  format('%s:%s:%s', v.operator, i.object, i.name) as id,
  i.object,
  format('index "%s": %s', i.name, v.description) as description,
  i.drop || v.definition as sql
from (
  select
    x.*,
    k.relname as name,
    format('%I.%I', n.nspname, c.relname) as object,
    format('drop index %I.%I;', n.nspname, k.relname) as drop,
    pg_get_indexdef(x.indexrelid) as definition,
    ' WHERE ' || pg_get_expr(x.indpred, x.indrelid) as predicate
  from pg_index as x
  inner join pg_class as k on x.indexrelid = k.oid
  inner join pg_class as c on x.indrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where not exists (
    select 1 from pg_constraint as o
    where o.conindid = x.indexrelid and o.conrelid = x.indrelid
  )
) as i
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
  ('descending', 'its first column in the other order',
    case when i.indoption[0] & 1 = 0
      then regexp_replace(i.definition, '( USING btree \([^,)( ]+)([,)])', '\1 DESC\2') || ';' end)
) as v (operator, description, definition)
where i.object = any($1)
  and v.definition is not null
