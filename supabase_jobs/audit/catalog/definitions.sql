-- $1 oids of functions
-- Their definitions, as statements that create them again.
select
  p.oid::bigint as oid,
  pg_get_functiondef(p.oid) as definition
from pg_proc as p
where p.oid = any($1::oid [])
