-- $1 tables
-- The tables of which a delete of one row reads more than a moment: no index finds the rows that refer to it, and the tables
-- to read have more than 8 MB together. The largest of them, its size, and the index that is missing.
with missing as (
  select
    k.confrelid,
    k.conrelid,
    c.relpages::int8 * current_setting('block_size')::int8 as bytes,
    format('%I.%I', n.nspname, c.relname) as name,
    format('create index concurrently on %I.%I (%s);', n.nspname, c.relname, columns.list) as fix,
    format('create index on %I.%I (%s);', n.nspname, c.relname, columns.list) as tried_fix
  from pg_constraint as k
  inner join pg_class as c on k.conrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  cross join lateral (
    select string_agg(quote_ident(a.attname), ', ' order by f.number) as list
    from unnest(k.conkey) with ordinality as f (attnum, number)
    inner join pg_attribute as a on k.conrelid = a.attrelid and f.attnum = a.attnum
  ) as columns
  where k.contype = 'f'
    and c.relkind = 'r'  -- partitions have the foreign keys of their table
    and not exists (
      select from pg_index as x
      where k.conrelid = x.indrelid
        and x.indisvalid
        and x.indpred is null
        and x.indkey[0] = any(k.conkey)
    )
)

select
  format('%I.%I', n.nspname, t.relname) as referenced,
  (array_agg(m.name order by m.bytes desc))[1] as largest,
  pg_size_pretty(max(m.bytes)) as size,
  (array_agg(m.fix order by m.bytes desc))[1] as fix,
  (array_agg(m.tried_fix order by m.bytes desc))[1] as tried_fix
from missing as m
inner join pg_class as t on m.confrelid = t.oid
inner join pg_namespace as n on t.relnamespace = n.oid
where format('%I.%I', n.nspname, t.relname) = any($1)
group by n.nspname, t.relname
having sum(m.bytes) > 8 * 1024 * 1024
order by n.nspname, t.relname
