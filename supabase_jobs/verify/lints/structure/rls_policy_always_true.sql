-- No policy allows anon or authenticated to write every row: the condition true restricts nothing.
-- Supabase's advisor 0024. SELECT policies are not checked, because a table may be public.
select
  o.object,
  p.polname::text as name,
  format('policy "%s" allows %s to write every row: %s is true', p.polname, w.roles, w.clause) as message,
  format('Write a %s expression that only rows of the caller meet.', w.clause) as fix,
  'error' as severity,
  array[format('%s:policy:%s', o.object, p.polname)] as facts
from pg_policy as p
inner join pg_class as c on p.polrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
cross join lateral (
  select
    case
      when p.polcmd in ('w', 'd', '*') and pg_get_expr(p.polqual, p.polrelid) = 'true' then 'USING'
      when pg_get_expr(p.polwithcheck, p.polrelid) = 'true' then 'WITH CHECK'
    end as clause,
    (
      select string_agg(case r.oid when 0 then 'public' else pg_get_userbyid(r.oid) end, ' and ' order by r.oid)
      from unnest(p.polroles) as r (oid)
      where r.oid = 0 or pg_get_userbyid(r.oid) in ('anon', 'authenticated')
    ) as roles
) as w
where p.polpermissive
  and c.relrowsecurity
  and w.clause is not null
  and w.roles is not null
  and ($1::jsonb -> 'managed') ? o.object
