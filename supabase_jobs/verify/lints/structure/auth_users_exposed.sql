-- No view in an exposed schema reads auth.users: the table contains email addresses and password hashes.
-- Supabase's advisor 0002. It checks managed views, and user views that read a managed table too.
select distinct
  o.object,
  '' as name,
  format('%s can read it through the API, and it returns rows of auth.users', callers.names) as message,
  format('revoke all on table %s from public, anon, authenticated;', o.object) as fix,
  'error' as severity,
  '{}'::text[] as facts
from pg_rewrite as r
inner join pg_depend as d on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
inner join pg_class as c on r.ev_class = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
cross join lateral (
  select string_agg(g.rolname, ' and ' order by g.rolname) as names
  from pg_roles as g
  where g.rolname in ('anon', 'authenticated')
    and has_any_column_privilege(g.oid, c.oid, 'select')
) as callers
where d.refclassid = 'pg_class'::regclass
  and d.refobjid = to_regclass('auth.users')
  and c.relkind in ('v', 'm')
  and callers.names is not null
  and ($1::jsonb -> 'exposed') ? n.nspname
  and (
    ($1::jsonb -> 'managed') ? o.object
    -- a user view that reads a managed table
    or exists (
      select 1
      from pg_depend as e
      inner join pg_class as t on e.refobjid = t.oid
      inner join pg_namespace as m on t.relnamespace = m.oid
      where e.objid = r.oid
        and e.classid = 'pg_rewrite'::regclass
        and e.refclassid = 'pg_class'::regclass
        and ($1::jsonb -> 'managed') ? format('%I.%I', m.nspname, t.relname)
    )
  )
