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
  -- these can reject rows that the migrations allow
  case when k.contype in ('c', 'u', 'x') then 'warning' else 'info' end as unexpected_severity,
  'error' as deviation_severity
from pg_constraint as k
inner join pg_class as c on k.conrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where format('%I.%I', n.nspname, c.relname) = any($1)
  and k.contype not in ('n', 't')
