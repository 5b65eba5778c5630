-- $1 tables, $2 triggers
-- The texts of the functions of user triggers on managed tables; `triggers` are the managed ones, as table:name.
select coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as text
from pg_trigger as t
inner join pg_class as c on t.tgrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_proc as p on t.tgfoid = p.oid
where
  not t.tgisinternal
  and t.tgenabled <> 'D'
  and format('%I.%I', n.nspname, c.relname) = any($1)
  and format('%I.%I:%s', n.nspname, c.relname, t.tgname) <> all($2)
