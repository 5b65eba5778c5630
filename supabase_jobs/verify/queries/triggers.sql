-- Triggers, and whether they fire.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'trigger' as kind,
  t.tgname as name,
  pg_get_triggerdef(t.oid) || case t.tgenabled when 'O' then '' when 'D' then ' (disabled)' else ' (replica only)' end
    as value,
  pg_get_triggerdef(t.oid) || ';' as mend,
  format('drop trigger %I on %I.%I;', t.tgname, n.nspname, c.relname) as remove,
  'info' as unexpected
from pg_trigger as t
inner join pg_class as c on t.tgrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where format('%I.%I', n.nspname, c.relname) = any($1)
  and not t.tgisinternal
