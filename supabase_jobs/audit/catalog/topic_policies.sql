-- Policies of realtime.messages, which decide who may join a private channel; the columns of policies.sql.
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
where p.polrelid = to_regclass('realtime.messages')
order by p.polname
