-- Columns: type, nullability, default.
select
  format('%I.%I', n.nspname, c.relname) as object,
  v.kind,
  a.attname as name,
  v.value,
  format('alter table %I.%I ', n.nspname, c.relname) || v.mend as mend,
  '' as remove,
  'info' as unexpected
from pg_attribute as a
inner join pg_class as c on a.attrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
left join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
cross join lateral (
  values
  ('column', format_type(a.atttypid, a.atttypmod),
    format('alter column %I type %s;', a.attname, format_type(a.atttypid, a.atttypmod))),
  ('nullability of column', case when a.attnotnull then 'not null' else 'null' end
    || case when exists (
      -- PostgreSQL 18
      select 1 from pg_constraint as k
      where k.conrelid = c.oid and k.contype = 'n' and a.attnum = any(k.conkey) and not k.convalidated
    ) then ' (not valid)' else '' end,
    format('alter column %I %s not null;', a.attname, case when a.attnotnull then 'set' else 'drop' end)),
  ('default of column', coalesce(pg_get_expr(d.adbin, d.adrelid), 'none'),
    case
      when d.adbin is null then format('alter column %I drop default;', a.attname)
      else format('alter column %I set default %s;', a.attname, pg_get_expr(d.adbin, d.adrelid))
    end)
) as v (kind, value, mend)
where format('%I.%I', n.nspname, c.relname) = any($1)
  and a.attnum > 0
  and not a.attisdropped
