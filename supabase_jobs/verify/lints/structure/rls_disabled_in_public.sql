-- Every managed table in an exposed schema has row level security enabled: otherwise a grant exposes all rows.
-- Supabase's advisor 0013. It checks every schema that the API exposes, public by default.
select
  o.object,
  '' as name,
  format('row level security is disabled, and the API exposes schema %s: a grant exposes all rows', n.nspname) as message,
  format('alter table %s enable row level security;', o.object) as fix,
  'error' as severity,
  array[o.object || ':row level security', o.object || ':table'] as facts
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
where c.relkind in ('r', 'p')
  and not c.relrowsecurity
  and ($1::jsonb -> 'exposed') ? n.nspname
  and ($1::jsonb -> 'managed') ? o.object
