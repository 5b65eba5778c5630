-- Inheritance: a query of the parent returns the rows of its children, and only the parent's policies and grants apply.
-- A parent of a managed table exposes its rows. A child adds rows that no foreign key references.
select
  format('%I.%I', n.nspname, c.relname) as object,
  v.kind,
  v.other as name,
  v.value,
  '' as create_sql,
  v.drop_sql,
  'error' as unexpected_severity,
  'error' as deviation_severity
from pg_inherits as i
inner join pg_class as p on i.inhparent = p.oid
inner join pg_namespace as q on p.relnamespace = q.oid
inner join pg_class as h on i.inhrelid = h.oid
inner join pg_namespace as m on h.relnamespace = m.oid
cross join lateral (
  values
  (p.oid, 'child table', format('%I.%I', m.nspname, h.relname), 'queries return its rows, and foreign keys cannot reference them',
    -- without inheritance it is a copy of the rows
    format('alter table %I.%I no inherit %I.%I;', m.nspname, h.relname, q.nspname, p.relname)
    || case h.relkind when 'f' then '' else
      format(E'\nalter table %I.%I enable row level security;', m.nspname, h.relname) end),
  (h.oid, 'parent table', format('%I.%I', q.nspname, p.relname), 'queries of it return the rows of this table',
    format('alter table %I.%I no inherit %I.%I;', m.nspname, h.relname, q.nspname, p.relname))
) as v (managed, kind, other, value, drop_sql)
inner join pg_class as c on v.managed = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where format('%I.%I', n.nspname, c.relname) = any($1)
  and h.relkind in ('r', 'p', 'f')
