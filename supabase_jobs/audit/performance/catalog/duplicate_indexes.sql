-- $1 tables
-- Indexes of these tables with the definition of another one. Kept is that of a constraint, then a unique one, then the
-- oldest.
with indexes as (
  select
    x.indrelid as relation,
    i.relname as name,
    format('drop index %I.%I;', n.nspname, i.relname) as dropping,
    o.needed,
    array[(not o.needed)::integer, (not x.indisunique)::integer, x.indexrelid::bigint] as rank,
    concat_ws(
      '|', i.relam, x.indkey, x.indnkeyatts, x.indclass, x.indcollation, x.indoption,
      coalesce(pg_get_expr(x.indexprs, x.indrelid), ''), coalesce(pg_get_expr(x.indpred, x.indrelid), '')
    ) as definition
  from pg_index as x
  inner join pg_class as i on x.indexrelid = i.oid
  inner join pg_namespace as n on i.relnamespace = n.oid
  cross join lateral (
    select x.indexrelid in (select k.conindid from pg_constraint as k) as needed
  ) as o
  where x.indrelid = any($1::oid [])
    and x.indisvalid
)

select
  spare.relation::bigint as relation,
  spare.name::text as name,
  (array_agg(kept.name::text order by kept.rank))[1] as kept,
  spare.dropping
from indexes as spare
inner join indexes as kept on spare.relation = kept.relation and spare.definition = kept.definition
where kept.rank < spare.rank
  and not spare.needed
group by spare.relation, spare.name, spare.dropping
order by spare.relation, spare.name
