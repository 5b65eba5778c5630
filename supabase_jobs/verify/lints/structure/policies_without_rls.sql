-- A table that has policies has row level security on: else they hold nobody.
-- Supabase's advisor 0007; a table that the API exposes is a matter of rls_off_in_exposed_schema.
select
  o.object,
  '' as name,
  format('it has %s policies that hold nobody: row level security is off', p.number) as message,
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
  and ($1::jsonb -> 'scope') ? o.object
