-- $1 schemas
-- The triggers of tables in these schemas, as statements that create them again.
select
  format('%s.%s', n.nspname, c.relname) as relation_name,
  t.tgname::text as name,
  pg_get_triggerdef(t.oid) as definition
from pg_trigger as t
inner join pg_class as c on t.tgrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where not t.tgisinternal
  and t.tgenabled <> 'D'
  and n.nspname = any($1)
order by 1, 2
