-- Indexes with their columns and predicates, except those of constraints. Storage parameters (fillfactor) change nothing
-- that they can find or refuse.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'index' as kind,
  i.relname as name,
  d.definition || case when x.indisvalid and x.indisready then '' else ' (invalid)' end as value,
  pg_get_indexdef(x.indexrelid) || ';' as create_sql,
  format('drop index %I.%I;', n.nspname, i.relname) as drop_sql,
  -- A unique index can reject rows that the migrations allow, unless another one of fewer columns, or the primary key, rejects
  -- them anyway. Of all rows, whatever their state, it rejects the second one
  -- with a URL, whoever has the first, or the second one of an owner. What it rejects within the rows of an owner shows where
  -- rows are tried.
  case
    when not x.indisunique or g.number > 0 then 'info'
    when x.indpred is null and c.relname = 'async_jobs' and (u.columns = array['url'] or u.columns <@ array['guest_id', 'user_id'])
      then 'error'
    when u.of_owner then 'untried'
    else 'warning'
  end as unexpected_severity,
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
-- also those of its expressions
cross join lateral (
  select
    coalesce(array_agg(a.attname::text), '{}') as columns,
    (
      select count(*) > 0 from pg_constraint as f
      where f.conrelid = c.oid and f.contype = 'f' and f.conkey && array_agg(a.attnum)
    ) as of_owner
  from pg_depend as p
  inner join pg_attribute as a on p.refobjid = a.attrelid and p.refobjsubid = a.attnum
  where p.classid = 'pg_class'::regclass and p.objid = x.indexrelid and p.refobjid = c.oid
) as u
-- the keys that imply this one: all of their columns are among its own, compared in the same way
cross join lateral (
  select count(*) as number
  from pg_index as k
  where x.indisunique
    and k.indrelid = x.indrelid
    and k.indexrelid <> x.indexrelid
    and k.indisunique
    and k.indisvalid
    and k.indimmediate
    and k.indpred is null
    and (k.indisprimary or (not x.indnullsnotdistinct and k.indnkeyatts < x.indnkeyatts))
    and not exists (
      select
      from generate_series(0, k.indnkeyatts - 1) as i (number)
      where k.indkey[i.number] = 0
        or not exists (
          select
          from generate_series(0, x.indnkeyatts - 1) as j (number)
          where (x.indkey[j.number], x.indclass[j.number], x.indcollation[j.number])
            = (k.indkey[i.number], k.indclass[i.number], k.indcollation[i.number])
        )
    )
) as g
where format('%I.%I', n.nspname, c.relname) = any($1)
  and not exists (
    select 1 from pg_constraint as k
    where k.conindid = x.indexrelid and k.conrelid = x.indrelid
  )
