-- $1 tables
-- Those of these tables that have no primary key, with the statement that adds one: of the columns of a unique index
-- that are never null, or of a new column.
select
  c.oid::bigint as relation,
  format(
    'alter table %I.%I add %s;', n.nspname, c.relname,
    coalesce(
      (
        select format('primary key (%s)', string_agg(format('%I', a.attname), ', ' order by u.ord))
        from pg_index as x
        cross join unnest(x.indkey::smallint []) with ordinality as u (attnum, ord)
        inner join pg_attribute as a on x.indrelid = a.attrelid and u.attnum = a.attnum
        where x.indrelid = c.oid and x.indisunique and x.indpred is null and x.indexprs is null
          and u.ord <= x.indnkeyatts
        group by x.indexrelid
        having bool_and(a.attnotnull)
        order by x.indexrelid
        limit 1
      ),
      format(
        'column %I bigint generated always as identity primary key',
        case when 'id' = any(k.columns) then 'row_id' else 'id' end
      )
    )
  ) as statement
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select array_agg(a.attname::text) as columns
  from pg_attribute as a
  where a.attrelid = c.oid
) as k
where c.oid = any($1::oid [])
  and not exists (
    select from pg_constraint as p
    where p.conrelid = c.oid and p.contype = 'p'
  )
order by c.oid
