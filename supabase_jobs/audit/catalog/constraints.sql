-- $1 schemas
-- Constraints of tables, and unique indexes that are not constraints. `kind`: p primary key, u unique, f foreign key,
-- c check, x exclusion, or a unique index of some rows or of expressions. `columns` and `target_columns` are names.
-- `cascades`: a row is deleted with the one that it refers to.
select
  k.conrelid::bigint as relation,
  k.conname::text as name,
  k.contype::text as kind,
  array(
    select a.attname::text
    from unnest(k.conkey) with ordinality as u (attnum, ord)
    inner join pg_attribute as a on u.attnum = a.attnum and a.attrelid = k.conrelid
    order by u.ord
  ) as columns,
  nullif(k.confrelid, 0)::bigint as target,
  (
    select format('%I.%I', m.nspname, t.relname)
    from pg_class as t
    inner join pg_namespace as m on t.relnamespace = m.oid
    where t.oid = k.confrelid
  ) as target_name,
  array(
    select a.attname::text
    from unnest(k.confkey) with ordinality as u (attnum, ord)
    inner join pg_attribute as a on u.attnum = a.attnum and a.attrelid = k.confrelid
    order by u.ord
  ) as target_columns,
  case when k.contype = 'c' then pg_get_constraintdef(k.oid) end as definition,
  k.condeferrable as can_defer,
  k.confdeltype = 'c' as cascades
from pg_constraint as k
inner join pg_class as c on k.conrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = any($1)
  and k.contype in ('p', 'u', 'f', 'c', 'x')
  and c.relkind in ('r', 'p')
union all
select
  i.indrelid::bigint,
  x.relname::text,
  case when i.indpred is null and i.indexprs is null then 'u' else 'x' end,
  array(
    select a.attname::text
    from unnest(i.indkey::smallint []) with ordinality as u (attnum, ord)
    inner join pg_attribute as a on u.attnum = a.attnum and a.attrelid = i.indrelid
    where u.ord <= i.indnkeyatts
    order by u.ord
  ),
  null,
  null,
  '{}',
  null,
  false,
  false
from pg_index as i
inner join pg_class as x on i.indexrelid = x.oid
inner join pg_namespace as s on x.relnamespace = s.oid
where s.nspname = any($1)
  and i.indisunique
  and not exists (
    select from pg_constraint as o
    where o.conindid = i.indexrelid
  )
order by relation, name
