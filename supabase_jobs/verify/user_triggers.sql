-- $1 managed
-- The triggers of the project on managed tables.
select format('%I of %I.%I', t.tgname, n.nspname, c.relname) as name
from pg_trigger as t
inner join pg_class as c on t.tgrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where
  not t.tgisinternal
  and t.tgenabled <> 'D'
  and format('%I.%I', n.nspname, c.relname) = any($1)
  and format('%I.%I:%s', n.nspname, c.relname, t.tgname) <> all($1)
order by name
