-- $1 schemas
-- Policies; `roles` is {public} for every role. `command`: r select, a insert, w update, d delete, * all.
select
  p.polrelid::bigint as relation,
  p.polname::text as name,
  p.polcmd::text as command,
  p.polpermissive as permissive,
  case
    when p.polroles = '{0}' then array['public']
    else array(select pg_get_userbyid(r.oid)::text from unnest(p.polroles) as r (oid))
  end as roles,
  pg_get_expr(p.polqual, p.polrelid) as visible,
  pg_get_expr(p.polwithcheck, p.polrelid) as checked
from pg_policy as p
inner join pg_class as c on p.polrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = any($1)
order by 1, 2
