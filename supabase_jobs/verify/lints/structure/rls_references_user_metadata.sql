-- No policy reads user_metadata: users can change it.
-- Supabase's advisor 0015.
select
  o.object,
  p.polname::text as name,
  format('policy "%s" reads user_metadata, which users can change', p.polname) as message,
  'Read app_metadata, or a table that users cannot write to.' as fix,
  'error' as severity,
  array[format('%s:policy:%s', o.object, p.polname)] as facts
from pg_policy as p
inner join pg_class as c on p.polrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
where concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
  ~ '''user_metadata''|raw_user_meta_data|\muser_metadata\M'
  and ($1::jsonb -> 'managed') ? o.object
