-- The WITH CHECK of each policy as the condition of a query. A plan does not show WITH CHECK, but it shows how the same
-- expression is evaluated as a filter.
select
  o.object,
  p.polname::text as policy,
  format('select from %s where %s', o.object, pg_get_expr(p.polwithcheck, p.polrelid)) as statement
from pg_policy as p
inner join pg_class as c on p.polrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
where p.polwithcheck is not null
  and o.object = any($1)
order by 1, 2
