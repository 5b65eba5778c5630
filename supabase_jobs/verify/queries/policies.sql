-- Policies: command, roles, USING and WITH CHECK. One that nobody declared can open the table.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'policy' as kind,
  p.polname as name,
  s.spec as value,
  format('create policy %I on %I.%I as %s;', p.polname, n.nspname, c.relname, s.spec) as mend,
  format('drop policy %I on %I.%I;', p.polname, n.nspname, c.relname) as remove,
  'error' as unexpected
from pg_policy as p
inner join pg_class as c on p.polrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select concat_ws(
    ' ',
    case when p.polpermissive then 'permissive' else 'restrictive' end,
    'for',
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
    'to',
    (
      select string_agg(case r.oid when 0 then 'public' else pg_get_userbyid(r.oid)::text end, ', ' order by 1)
      from unnest(p.polroles) as r (oid)
    ),
    'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
    'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'
  ) as spec
) as s
where format('%I.%I', n.nspname, c.relname) = any($1)
