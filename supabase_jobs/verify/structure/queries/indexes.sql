-- Indexes with their columns and predicates, except those of constraints. Storage parameters (fillfactor) change nothing
-- that they can find or refuse.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'index' as kind,
  i.relname as name,
  d.definition || case when x.indisvalid and x.indisready then '' else ' (invalid)' end as value,
  pg_get_indexdef(x.indexrelid) || ';' as create_sql,
  format('drop index %I.%I;', n.nspname, i.relname) as drop_sql,
  -- a unique index can reject rows that the migrations allow
  case when x.indisunique then 'warning' else 'info' end as unexpected_severity,
  'error' as deviation_severity
from pg_index as x
inner join pg_class as i on x.indexrelid = i.oid
inner join pg_class as c on x.indrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select regexp_replace(
    pg_get_indexdef(x.indexrelid),
    case when i.reloptions is not null then ' WITH \(\w+=''[^'']*''(, \w+=''[^'']*'')*\)' else '$' end,
    ''
  ) as definition
) as d
where format('%I.%I', n.nspname, c.relname) = any($1)
  and not exists (
    select 1 from pg_constraint as k
    where k.conindid = x.indexrelid and k.conrelid = x.indrelid
  )
