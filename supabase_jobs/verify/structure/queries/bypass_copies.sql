-- Copies of managed tables: user tables with every column of a managed table, without row level security, that PUBLIC
-- or a role of the API may read. Examples are backups, archives, test tables, and foreign tables, which cannot have row
-- level security. No policy protects the copied rows.
select
  o.name as object,
  'copy without row level security' as kind,
  s.name,
  'readable by ' || g.roles as value,
  '' as create_sql,
  case t.relkind
    when 'f' then format('revoke all on table %s from %s;', s.name, g.identifiers)
    else format('alter table %s enable row level security;', s.name)
  end as drop_sql,
  'error' as unexpected_severity,
  'error' as deviation_severity
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as name) as o
cross join pg_class as t
inner join pg_namespace as m on t.relnamespace = m.oid
cross join lateral (select format('%I.%I', m.nspname, t.relname) as name) as s
cross join lateral (
  select
    string_agg(x.name, ', ' order by x.name) as roles,
    string_agg(quote_ident(x.name), ', ' order by x.name) as identifiers
  from (
    select 'public' as name
    union
    select r.rolname::text
    from pg_roles as r
    where not r.rolbypassrls
      and (
        r.rolname in ('anon', 'authenticated')
        or (r.rolname <> 'authenticator' and pg_has_role(to_regrole('authenticator')::oid, r.oid, 'member'))
      )
  ) as x
  where has_any_column_privilege(x.name, t.oid, 'select')
) as g
where c.relkind in ('r', 'p')
  and t.relkind in ('r', 'p', 'f')
  and not t.relrowsecurity
  and o.name = any($1)
  and s.name <> all($1)
  and m.nspname not in ('pg_catalog', 'information_schema')
  and g.roles is not null
  -- inheritance.sql reports child tables
  and not exists (
    select 1 from pg_inherits as i
    where i.inhrelid = t.oid and i.inhparent = c.oid
  )
  and not exists (
    select 1 from pg_attribute as a
    where a.attrelid = c.oid
      and a.attnum > 0
      and not a.attisdropped
      and not exists (
        select 1 from pg_attribute as b
        where b.attrelid = t.oid
          and not b.attisdropped
          and b.attname = a.attname
          and b.atttypid = a.atttypid
      )
  )
