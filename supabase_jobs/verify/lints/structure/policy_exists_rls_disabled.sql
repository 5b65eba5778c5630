-- Every managed table with policies has row level security enabled: otherwise the policies have no effect.
-- Supabase's advisor 0007. The rule rls_disabled_in_public checks tables in exposed schemas.
select
  o.object,
  '' as name,
  format('the table has policies (%s) without effect: row level security is disabled', p.number) as message,
  format('alter table %s enable row level security;', o.object) as fix,
  'error' as severity,
  array[o.object || ':row level security'] as facts
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
cross join lateral (
  select count(*) as number from pg_policy as x
  where x.polrelid = c.oid
) as p
where not c.relrowsecurity
  and p.number > 0
  and not ($1::jsonb -> 'exposed') ? n.nspname
  and ($1::jsonb -> 'managed') ? o.object
