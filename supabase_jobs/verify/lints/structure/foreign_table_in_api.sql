-- No managed foreign table is in an exposed schema: foreign tables have no row level security.
-- Supabase's advisor 0017.
select
  o.object,
  '' as name,
  format('%s can use it through the API, and a foreign table has no row level security', callers.names) as message,
  format('revoke all on table %s from public, anon, authenticated;', o.object) as fix,
  'error' as severity,
  '{}'::text[] as facts
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
cross join lateral (
  select string_agg(r.rolname, ' and ' order by r.rolname) as names
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
    and has_any_column_privilege(r.oid, c.oid, 'select, insert, update')
) as callers
where c.relkind = 'f'
  and callers.names is not null
  and ($1::jsonb -> 'exposed') ? n.nspname
  and ($1::jsonb -> 'managed') ? o.object
