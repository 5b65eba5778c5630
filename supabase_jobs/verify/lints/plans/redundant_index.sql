-- No user index is a prefix of another index: the longer index serves the same queries.
with indexes as (
  select
    x.*,
    i.relname as name,
    format('%I.%I', n.nspname, c.relname) as object,
    format('%I.%I', m.nspname, i.relname) as qualified,
    ($1::jsonb -> 'recorded') ? format('%I.%I:index:%s', n.nspname, c.relname, i.relname) as recorded,
    row(pg_get_expr(x.indexprs, c.oid), pg_get_expr(x.indpred, c.oid)) as rest
  from pg_index as x
  inner join pg_class as i on x.indexrelid = i.oid
  inner join pg_am as a on i.relam = a.oid
  inner join pg_namespace as m on i.relnamespace = m.oid
  inner join pg_class as c on x.indrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where ($1::jsonb -> 'managed') ? format('%I.%I', n.nspname, c.relname)
    and a.amname = 'btree'
    and x.indisvalid
    and x.indexprs is null
)

select
  short.object,
  short.name,
  format('index "%s" is a prefix of "%s", which serves the same queries', short.name, min(long.name)) as message,
  format('drop index %s;', short.qualified) as fix,
  'info' as severity,
  '{}'::text[] as facts
from indexes as short
inner join indexes as long on short.indrelid = long.indrelid and short.rest is not distinct from long.rest
where short.indnatts < long.indnkeyatts
  and not short.indisunique
  and not short.recorded
  and long.indkey::text || ' ' like short.indkey::text || ' %'
  and long.indclass::text || ' ' like short.indclass::text || ' %'
  and long.indcollation::text || ' ' like short.indcollation::text || ' %'
  and long.indoption::text || ' ' like short.indoption::text || ' %'
  and not exists (
    select 1 from pg_constraint as k
    where k.conindid = short.indexrelid
  )
group by short.object, short.name, short.qualified
