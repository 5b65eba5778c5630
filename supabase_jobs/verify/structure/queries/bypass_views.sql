-- Views that bypass the row level security of managed tables: views without security_invoker, directly or through other
-- views, and materialized views, on which PUBLIC or a role of the API has privileges. Also rules of user tables and
-- views: a rule runs as the owner of its relation, even on a view with security_invoker.
-- A view also depends on the table whose rows a function returns. It does not read that table: the function does, as the
-- caller of the view. So the table must be in the range table of the view, unless its result is stored.
-- bypass_functions.sql reports definers.
with recursive uses (rule, view, base, action, condition) as (
  select
    r.oid,
    r.ev_class,
    d.refobjid,
    case when v.relkind <> 'm' then r.ev_action end as action,
    r.ev_qual
  from pg_rewrite as r
  inner join pg_class as v on r.ev_class = v.oid
  inner join pg_depend as d on r.oid = d.objid
  where d.classid = 'pg_rewrite'::regclass
    and d.refclassid = 'pg_class'::regclass
    and d.refobjid <> r.ev_class
),

reach (rule, view, base) as (
  select
    o.rule,
    o.view,
    c.oid
  from uses as o
  inner join pg_class as c on o.base = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where format('%I.%I', n.nspname, c.relname) = any($1)
    and (o.action is null or position(format(':rtekind 0 :relid %s ', c.oid) in o.action::text || o.condition::text) > 0)
  union
  select
    o.rule,
    o.view,
    r.base
  from reach as r
  inner join uses as o on r.view = o.base
  where o.action is null or position(format(':rtekind 0 :relid %s ', r.view) in o.action::text || o.condition::text) > 0
)

select distinct
  format('%I.%I', n.nspname, c.relname) as object,
  case
    when w.rulename = '_RETURN' then 'view that bypasses row level security'
    else 'rule that bypasses row level security'
  end as kind,
  s.view as name,
  'usable by ' || g.roles as value,
  '' as create_sql,
  case
    when v.relkind = 'v' and w.rulename = '_RETURN' then format('alter view %s set (security_invoker = true);', s.view)
    else format('revoke all on table %s from public, anon, authenticated;', s.view)
  end as drop_sql,
  'error' as unexpected_severity,
  'error' as deviation_severity
from reach as r
inner join pg_class as c on r.base = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_rewrite as w on r.rule = w.oid
inner join pg_class as v on r.view = v.oid
inner join pg_namespace as m on v.relnamespace = m.oid
cross join lateral (select format('%I.%I', m.nspname, v.relname) as view) as s
cross join lateral (
  select string_agg(x.name, ', ' order by x.name) as roles
  from (
    select 'public' as name
    union
    select o.rolname::text
    from pg_roles as o
    where not o.rolbypassrls
      and (
        o.rolname in ('anon', 'authenticated')
        or (o.rolname <> 'authenticator' and pg_has_role(to_regrole('authenticator')::oid, o.oid, 'member'))
      )
  ) as x
  where (
    w.rulename = '_RETURN' and has_any_column_privilege(x.name, v.oid, 'select, insert, update')
  )
  or has_any_column_privilege(x.name, v.oid, 'insert, update')
  or has_table_privilege(x.name, v.oid, 'delete')
) as g
where v.relkind in ('v', 'm', 'r', 'p')
  and format('%I.%I', m.nspname, v.relname) <> all($1)
  and g.roles is not null
  and not (
    w.rulename = '_RETURN'
    and exists (
      select 1 from pg_options_to_table(v.reloptions) as o
      where o.option_name = 'security_invoker' and o.option_value::boolean
    )
  )
