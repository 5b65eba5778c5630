-- Tables that inherit: the rows of a child show in its parent, and the parent's policies and grants are the ones that
-- are asked. A parent of ours would be one more door to our rows, a child brings in rows that no foreign key holds.
select
  format('%I.%I', n.nspname, c.relname) as object,
  v.kind,
  v.other as name,
  v.value,
  '' as mend,
  v.remove,
  'error' as unexpected,
  'error' as differs
from pg_inherits as i
inner join pg_class as p on i.inhparent = p.oid
inner join pg_namespace as q on p.relnamespace = q.oid
inner join pg_class as h on i.inhrelid = h.oid
inner join pg_namespace as m on h.relnamespace = m.oid
cross join lateral (
  values
  (p.oid, 'child table', format('%I.%I', m.nspname, h.relname), 'its rows show here, and no foreign key holds them',
    -- on its own it is a copy of our rows
    format('alter table %I.%I no inherit %I.%I;', m.nspname, h.relname, q.nspname, p.relname)
    || case h.relkind when 'f' then '' else
      format(' alter table %I.%I enable row level security;', m.nspname, h.relname) end),
  (h.oid, 'parent table', format('%I.%I', q.nspname, p.relname), 'whoever reads it reads the rows of this table too',
    format('alter table %I.%I no inherit %I.%I;', m.nspname, h.relname, q.nspname, p.relname))
) as v (ours, kind, other, value, remove)
inner join pg_class as c on v.ours = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where format('%I.%I', n.nspname, c.relname) = any($1)
  and h.relkind in ('r', 'p', 'f')
