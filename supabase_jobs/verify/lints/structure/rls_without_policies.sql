-- A table with row level security has a policy: else it is empty for everybody but its owner and bypassrls.
-- Supabase's advisor 0008.
select
  o.object,
  '' as name,
  'row level security is on and there is no policy: only its owner and roles with bypassrls see a row' as message,
  format('create policy … on %s …; or, where only the backend uses it, leave it so.', o.object) as fix,
  'info' as severity,
  (
    select coalesce(array_agg(r.fact), '{}')
    from jsonb_array_elements_text($1::jsonb -> 'recorded') as r (fact)
    where r.fact like replace(o.object, '_', '\_') || ':policy:%'
  ) as facts
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
where c.relkind in ('r', 'p')
  and c.relrowsecurity
  and not exists (
    select 1 from pg_policy as p
    where p.polrelid = c.oid
  )
  and ($1::jsonb -> 'scope') ? o.object
