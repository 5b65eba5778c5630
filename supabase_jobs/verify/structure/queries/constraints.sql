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
  -- These can reject rows that the migrations allow. Of all rows, whatever their state, a unique constraint rejects the second
  -- one with a URL, whoever has the first, or the second one of an owner.
  case
    when k.contype in ('u', 'x') and c.relname = 'async_jobs' and (u.columns = array['url'] or u.columns <@ array['guest_id', 'user_id'])
      and pg_get_constraintdef(k.oid) !~ '\mWHERE\M'
      then 'error'
    when k.contype in ('c', 'u', 'x') then 'warning'
    else 'info'
  end as unexpected_severity,
  'error' as deviation_severity
from pg_constraint as k
inner join pg_class as c on k.conrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select array_agg(a.attname::text) as columns
  from pg_attribute as a
  where a.attrelid = c.oid and a.attnum = any(k.conkey)
) as u
where format('%I.%I', n.nspname, c.relname) = any($1)
  and k.contype not in ('n', 't')
