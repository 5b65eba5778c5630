-- Triggers with their definitions, and whether they are enabled.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'trigger' as kind,
  t.tgname as name,
  pg_get_triggerdef(t.oid) || case t.tgenabled when 'O' then '' when 'D' then ' (disabled)' when 'A' then ' (always)' else ' (replica only)' end
    as value,
  pg_get_triggerdef(t.oid) || ';' as create_sql,
  format('drop trigger %I on %I.%I;', t.tgname, n.nspname, c.relname) as drop_sql,
  -- a BEFORE trigger can change, refuse or discard a row, which shows where rows are tried
  case when t.tgtype & 2 = 0 then 'info' else 'untried' end as unexpected_severity,
  'error' as deviation_severity
from pg_trigger as t
inner join pg_class as c on t.tgrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where format('%I.%I', n.nspname, c.relname) = any($1)
  and not t.tgisinternal
