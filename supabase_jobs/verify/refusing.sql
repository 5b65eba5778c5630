-- $1 schema, $2 table, $3 constraint, $4 context, $5 managed
-- The texts of what refused a row: a constraint or index that is not managed, or the function of a user trigger.
select coalesce(pg_get_constraintdef(k.oid), pg_get_indexdef(i.oid)) as text
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
left join pg_constraint as k on c.oid = k.conrelid and k.conname = $3
left join pg_class as i on n.oid = i.relnamespace and i.relkind = 'i' and i.relname = $3
where
  n.nspname = $1
  and c.relname = $2
  and num_nonnulls(k.oid, i.oid) > 0
  and format('%I.%I:%s', n.nspname, c.relname, $3) <> all($5)
union all
select p.prosrc as text
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
where
  p.prorettype = 'trigger'::regtype
  and $4 ~ format('\mfunction (\w+\.)?%s\(', regexp_replace(p.proname, '(\W)', '\\\1', 'g'))
  and exists (
    select
    from pg_trigger as t
    inner join pg_class as c on t.tgrelid = c.oid
    inner join pg_namespace as m on c.relnamespace = m.oid
    where
      t.tgfoid = p.oid
      and not t.tgisinternal
      and format('%I.%I', m.nspname, c.relname) = any($5)
      and format('%I.%I:%s', m.nspname, c.relname, t.tgname) <> all($5)
  )
