-- Constraints with their definitions, NOT VALID included. columns.sql covers NOT NULL, which is a constraint from
-- PostgreSQL 18 on. A CHECK or FOREIGN KEY constraint is validated in a statement of its own, which blocks no writer.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'constraint' as kind,
  k.conname as name,
  pg_get_constraintdef(k.oid) as value,
  format('alter table %I.%I add constraint %I %s', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid))
  || case
    when k.contype in ('c', 'f') and k.convalidated and c.relkind = 'r'
      then format(E' not valid;\nalter table %I.%I validate constraint %I;', n.nspname, c.relname, k.conname)
    else ';'
  end as create_sql,
  format('alter table %I.%I drop constraint %I;', n.nspname, c.relname, k.conname) as drop_sql,
  -- These can reject rows that the migrations allow, unless another key of fewer columns, or the primary key, rejects them
  -- anyway. Of all rows, whatever their state, a unique constraint rejects the second one with a URL, whoever has the first,
  -- or the second one of an owner. What decides by the values of one row, or within the rows of an owner, shows where rows are
  -- tried.
  case
    when k.contype in ('u', 'x') and c.relname = 'async_jobs' and (u.columns = array['url'] or u.columns <@ array['guest_id', 'user_id'])
      and pg_get_constraintdef(k.oid) !~ '\mWHERE\M'
      then 'error'
    when g.number > 0 then 'info'
    when k.contype = 'c' or (k.contype in ('u', 'x') and u.of_owner) then 'untried'
    when k.contype in ('u', 'x') then 'warning'
    else 'info'
  end as unexpected_severity,
  'error' as deviation_severity
from pg_constraint as k
inner join pg_class as c on k.conrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select
    array_agg(a.attname::text) as columns,
    (
      select count(*) > 0 from pg_constraint as f
      where f.conrelid = c.oid and f.contype = 'f' and f.conkey && k.conkey
    ) as of_owner
  from pg_attribute as a
  where a.attrelid = c.oid and a.attnum = any(k.conkey)
) as u
-- the keys that imply this one: all of their columns are among its own, compared in the same way
cross join lateral (
  select count(*) as number
  from pg_index as x
  inner join pg_index as o on x.indrelid = o.indrelid and x.indexrelid <> o.indexrelid
  where x.indexrelid = k.conindid
    and k.contype = 'u'
    and o.indisunique
    and o.indisvalid
    and o.indimmediate
    and o.indpred is null
    and (o.indisprimary or (not x.indnullsnotdistinct and o.indnkeyatts < x.indnkeyatts))
    and not exists (
      select
      from generate_series(0, o.indnkeyatts - 1) as i (number)
      where o.indkey[i.number] = 0
        or not exists (
          select
          from generate_series(0, x.indnkeyatts - 1) as j (number)
          where (x.indkey[j.number], x.indclass[j.number], x.indcollation[j.number])
            = (o.indkey[i.number], o.indclass[i.number], o.indcollation[i.number])
        )
    )
) as g
where format('%I.%I', n.nspname, c.relname) = any($1)
  and k.contype not in ('n', 't')
