-- Every managed table has a primary key: without one, its rows cannot be identified or replicated.
-- Supabase's advisor 0004.
select
  o.object,
  '' as name,
  'the table has no primary key: its rows cannot be identified or replicated' as message,
  'Add a primary key.' as fix,
  'info' as severity,
  (
    select coalesce(array_agg(r.fact), '{}')
    from jsonb_array_elements_text($1::jsonb -> 'recorded') as r (fact)
    where r.fact like replace(o.object, '_', '\_') || ':constraint:%'
  ) as facts
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
where c.relkind in ('r', 'p')
  and not exists (
    select 1 from pg_index as x
    where x.indrelid = c.oid and x.indisprimary
  )
  and ($1::jsonb -> 'managed') ? o.object
