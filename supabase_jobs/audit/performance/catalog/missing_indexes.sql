-- $1 wanted
-- Of tables and columns, [{"table": oid, "columns": [name, …]}, …], those that no index begins with: the statement that
-- creates one. An index of all rows counts, or one of the rows in which its column is not null.
with wanted as (
  select
    e.ord,
    (e.item ->> 'table')::oid as relation,
    array(select jsonb_array_elements_text(e.item -> 'columns')) as columns
  from jsonb_array_elements($1::jsonb) with ordinality as e (item, ord)
)

select
  w.ord::integer - 1 as position,
  i.name,
  format(
    'create index %I on %I.%I (%s);', i.name, n.nspname, c.relname,
    (select string_agg(format('%I', u.name), ', ' order by u.ord) from unnest(w.columns) with ordinality as u (name, ord))
  ) as statement
from wanted as w
inner join pg_class as c on w.relation = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select left(format('%s_%s', c.relname, array_to_string(w.columns, '_')), 58) as start
) as p
cross join lateral (
  select
    case
      when to_regclass(format('%I.%I', n.nspname, p.start || '_idx')) is not null then p.start || '_idx1'
      else p.start || '_idx'
    end as name
) as i
where not exists (
  -- a type that has no order
  select from pg_attribute as a
  inner join pg_type as t on a.atttypid = t.oid
  where a.attrelid = w.relation
    and a.attname = any(w.columns)
    and t.typcategory in ('G', 'U', 'X')
    and not exists (
      select from pg_opclass as o
      inner join pg_am as m on o.opcmethod = m.oid
      where m.amname = 'btree' and o.opcdefault and o.opcintype = t.oid
    )
)
and not exists (
  select from pg_index as x
  where x.indrelid = w.relation
    and x.indisvalid
    and (
      x.indpred is null
      or pg_get_expr(x.indpred, x.indrelid) = any(
        array(select format('(%I IS NOT NULL)', u.name) from unnest(w.columns) as u (name))
      )
    )
    and (
      select array_agg(a.attname::text order by a.attname::text)
      from unnest(x.indkey::smallint []) with ordinality as k (attnum, ord)
      inner join pg_attribute as a on k.attnum = a.attnum and a.attrelid = x.indrelid
      where k.ord <= cardinality(w.columns) and k.ord <= x.indnkeyatts
    ) = (select array_agg(u.name order by u.name) from unnest(w.columns) as u (name))
)
order by w.ord
