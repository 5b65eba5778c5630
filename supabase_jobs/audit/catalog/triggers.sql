-- $1 schemas
-- The triggers of tables in these schemas and of auth.users, with the functions that they call.
select
  c.oid::bigint as relation,
  format('%I.%I', n.nspname, c.relname) as relation_name,
  t.tgname::text as name,
  p.oid::bigint as function,
  format('%I.%I', f.nspname, p.proname) as function_name,
  p.prosrc as body
from pg_trigger as t
inner join pg_class as c on t.tgrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_proc as p on t.tgfoid = p.oid
inner join pg_namespace as f on p.pronamespace = f.oid
where not t.tgisinternal
  and t.tgenabled <> 'D'
  and (n.nspname = any($1) or c.oid = to_regclass('auth.users'))
order by 2, 3
