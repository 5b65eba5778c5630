-- Each role has at most one permissive policy for each command: any one of several is sufficient, and every query
-- evaluates all of them. Supabase's advisor 0006.
select
  o.object,
  format('%s for %s', a.command, r.rolname) as name,
  format('%s has several permissive policies for %s: %s; any one is sufficient, and every query evaluates all of them',
    r.rolname, a.command, string_agg(format('"%s"', p.polname), ', ' order by p.polname)) as message,
  'Combine them into one policy, or make those that narrow access restrictive.' as fix,
  'warning' as severity,
  array_agg(format('%s:policy:%s', o.object, p.polname)) as facts
from pg_policy as p
inner join pg_class as c on p.polrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
inner join pg_roles as r
  on r.rolname in ('anon', 'authenticated')
  and (p.polroles @> array[r.oid] or p.polroles @> array[0::oid])
cross join lateral (
  values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete')
) as a (code, command)
where p.polpermissive
  and p.polcmd in ('*', a.code::"char")
  and ($1::jsonb -> 'managed') ? o.object
group by o.object, a.command, r.rolname
having count(*) > 1
