-- Every managed table with row level security enabled has a policy: otherwise only its owner and BYPASSRLS roles read
-- it. Supabase's advisor 0008.
select
  o.object,
  '' as name,
  'row level security is enabled without a policy: only the owner and roles with BYPASSRLS can read rows' as message,
  'Create a policy for each role that uses the table. If only the backend uses it, none is needed.' as fix,
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
  and ($1::jsonb -> 'managed') ? o.object
