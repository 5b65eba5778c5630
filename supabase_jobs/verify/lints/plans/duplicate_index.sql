-- No two indexes of a table have the same definition: every write updates both, and no query is faster.
-- Supabase's advisor 0009.
with indexes as (
  select
    i.relname as name,
    o.object,
    format('%I.%I', m.nspname, i.relname) as qualified,
    k.needed,
    -- the index to keep: of a constraint first, then unique, then recorded, then the oldest
    array[
      (not k.needed)::integer,
      (not x.indisunique)::integer,
      (not ($1::jsonb -> 'recorded') ? format('%s:index:%s', o.object, i.relname))::integer,
      x.indexrelid::bigint
    ] as rank,
    concat_ws(
      '|', i.relam, x.indkey, x.indnkeyatts, x.indclass, x.indcollation, x.indoption,
      coalesce(pg_get_expr(x.indexprs, c.oid), ''), coalesce(pg_get_expr(x.indpred, c.oid), '')
    ) as definition
  from pg_index as x
  inner join pg_class as i on x.indexrelid = i.oid
  inner join pg_namespace as m on i.relnamespace = m.oid
  inner join pg_class as c on x.indrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
  cross join lateral (
    select x.indexrelid in (select c.conindid from pg_constraint as c) as needed
  ) as k
  where ($1::jsonb -> 'managed') ? o.object
    and x.indisvalid
)

select
  spare.object,
  spare.name,
  format('index "%s" duplicates "%s": every write updates both', spare.name, min(kept.name)) as message,
  format('drop index %s;', spare.qualified) as fix,
  'warning' as severity,
  '{}'::text[] as facts
from indexes as spare
inner join indexes as kept on spare.object = kept.object and spare.definition = kept.definition
where kept.rank < spare.rank
  and not spare.needed
group by spare.object, spare.name, spare.qualified
