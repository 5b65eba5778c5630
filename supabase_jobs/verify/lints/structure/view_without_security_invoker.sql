-- Every view in an exposed schema that reads a managed table has security_invoker: without it, the view reads the table
-- as its owner, who bypasses row level security. Supabase's advisor 0010, and 0016 for materialized views, which are
-- copies without policies. A view that only calls a function which returns the table's rows does not read the table.
with recursive reach (view, base) as (
  select
    r.ev_class,
    d.refobjid
  from pg_rewrite as r
  inner join pg_class as v on r.ev_class = v.oid
  inner join pg_depend as d on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
  inner join pg_class as c on d.refobjid = c.oid and d.refclassid = 'pg_class'::regclass
  inner join pg_namespace as n on c.relnamespace = n.oid
  where d.refobjid <> r.ev_class
    and c.relkind in ('r', 'p')
    and ($1::jsonb -> 'managed') ? format('%I.%I', n.nspname, c.relname)
    and (v.relkind = 'm' or position(format(':rtekind 0 :relid %s ', c.oid) in r.ev_action::text) > 0)
  union
  select
    r.ev_class,
    o.base
  from reach as o
  inner join pg_depend as d on o.view = d.refobjid and d.refclassid = 'pg_class'::regclass
  inner join pg_rewrite as r on d.objid = r.oid and d.classid = 'pg_rewrite'::regclass
  inner join pg_class as v on r.ev_class = v.oid
  where r.ev_class <> o.view
    and (v.relkind = 'm' or position(format(':rtekind 0 :relid %s ', o.view) in r.ev_action::text) > 0)
)

select
  v.object,
  '' as name,
  format(
    case v.relkind
      when 'v' then '%s can use it, and without security_invoker it reads %s as its owner, who bypasses row level security'
      else '%s can read it, and it is a copy of %s without its policies'
    end,
    callers.names,
    string_agg(distinct b.object, ' and ')
  ) as message,
  case v.relkind
    when 'v' then format('alter view %s set (security_invoker = true);', v.object)
    else format('revoke all on table %s from public, anon, authenticated;', v.object)
  end as fix,
  'error' as severity,
  array_agg(format('%s:view that bypasses row level security:%s', b.object, v.object)) as facts,
  true as accepted_by_name
from reach as e
cross join lateral (
  select
    c.oid,
    c.relkind,
    c.reloptions,
    n.nspname,
    format('%I.%I', n.nspname, c.relname) as object
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.oid = e.view
) as v
cross join lateral (
  select format('%I.%I', n.nspname, c.relname) as object
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.oid = e.base
) as b
cross join lateral (
  select string_agg(r.rolname, ' and ' order by r.rolname) as names
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
    and (
      has_any_column_privilege(r.oid, v.oid, 'select, insert, update')
      or has_table_privilege(r.oid, v.oid, 'delete')
    )
) as callers
where v.relkind in ('v', 'm')
  and callers.names is not null
  and ($1::jsonb -> 'exposed') ? v.nspname
  and not exists (
    select 1 from pg_options_to_table(v.reloptions) as o
    where o.option_name = 'security_invoker' and o.option_value::boolean
  )
group by v.object, v.relkind, callers.names
