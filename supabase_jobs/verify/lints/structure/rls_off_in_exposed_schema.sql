-- Every table that the API exposes has row level security: else a grant gives away all its rows.
-- Supabase's advisor 0013.
select
  o.object,
  '' as name,
  format('the API exposes schema %s, and without row level security a grant gives away all rows', n.nspname) as message,
  format('alter table %s enable row level security;', o.object) as fix,
  'error' as severity,
  array[o.object || ':row level security', o.object || ':table'] as facts
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
where c.relkind in ('r', 'p')
  and not c.relrowsecurity
  and ($1::jsonb -> 'exposed') ? n.nspname
  and ($1::jsonb -> 'scope') ? o.object
