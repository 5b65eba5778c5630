-- Foreign keys of and to managed tables ($1), and the indexes that find their referencing rows. `covered`: an index
-- without a predicate begins with the columns of the key. `proofs`: one statement for each such index with a predicate;
-- its plan is empty if a lookup by the key implies the predicate.
select
  format('%I.%I', n.nspname, c.relname) as object,
  k.conname::text as name,
  format('%I.%I', n.nspname, c.relname) = any($1) as managed,
  format('%I.%I', m.nspname, t.relname) as referenced,
  format('create index concurrently on %I.%I (%s);', n.nspname, c.relname, columns.list) as fix,
  format('create index on %I.%I (%s);', n.nspname, c.relname, columns.list) as tried_fix,
  coalesce(bool_or(x.indexrelid is not null and x.indpred is null), false) as covered,
  coalesce(
    array_agg(
      format('select from %I.%I where %s and not (%s)',
        n.nspname, c.relname, columns.lookup, pg_get_expr(x.indpred, x.indrelid))
    ) filter (where x.indpred is not null),
    '{}'
  ) as proofs,
  columns.names as columns
from pg_constraint as k
inner join pg_class as c on k.conrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_class as t on k.confrelid = t.oid
inner join pg_namespace as m on t.relnamespace = m.oid
cross join lateral (
  select
    array_agg(a.attname::text order by f.number) as names,
    string_agg(quote_ident(a.attname), ', ' order by f.number) as list,
    string_agg(format('%I = (select null::%s)', a.attname, format_type(a.atttypid, a.atttypmod)), ' and ') as lookup
  from unnest(k.conkey) with ordinality as f (attnum, number)
  inner join pg_attribute as a on k.conrelid = a.attrelid and f.attnum = a.attnum
) as columns
left join pg_index as x
  on k.conrelid = x.indrelid
  and x.indisvalid
  and x.indisready
  and x.indnkeyatts >= cardinality(k.conkey)
  -- in any order; the positions in an int2vector count from 0
  and not exists (
    select 1 from unnest(k.conkey) as f (attnum)
    where coalesce(array_position(x.indkey::int2[], f.attnum), x.indnatts) >= cardinality(k.conkey)
  )
where k.contype = 'f'
  and k.conparentid = 0
  and (format('%I.%I', n.nspname, c.relname) = any($1) or format('%I.%I', m.nspname, t.relname) = any($1))
group by n.nspname, c.relname, k.oid, k.conname, m.nspname, t.relname, columns.list, columns.names
order by n.nspname, c.relname, k.conname
