-- Copies of managed tables: user tables with the columns of a managed table, without row level security, that PUBLIC or a
-- role of the API may read. Examples are backups, archives, test tables, and foreign tables, which cannot have row level
-- security. No policy protects the copied rows. The types may differ, after a cast. A table counts also with three
-- quarters of the names, or with the same types in the same order and half of the names; and a foreign table counts if its
-- options name the managed table.
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
  -- a table of the user can resemble a managed one
  case when f.names_table or l.same_names = l.total then 'error' else 'warning' end as unexpected_severity,
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
cross join lateral (
  select
    count(*) as total,
    count(b.attname) as same_names,
    array_agg(a.atttypid order by a.attnum) as types
  from pg_attribute as a
  left join pg_attribute as b on t.oid = b.attrelid and a.attname = b.attname and not b.attisdropped
  where a.attrelid = c.oid
    and a.attnum > 0
    and not a.attisdropped
) as l
cross join lateral (
  select array_agg(p.atttypid order by p.attnum) as types
  from (
    select
      b.atttypid,
      b.attnum
    from pg_attribute as b
    where b.attrelid = t.oid
      and b.attnum > 0
      and not b.attisdropped
    order by b.attnum
    limit l.total
  ) as p
) as k
cross join lateral (
  select exists(
    select 1
    from pg_foreign_table as f
    cross join pg_options_to_table(f.ftoptions) as p
    where f.ftrelid = t.oid
      and p.option_value ~* ('(?<![\w$])' || regexp_replace(c.relname, '(\W)', '\\\1', 'g') || '(?![\w$])')
  ) as names_table
) as f
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
  and (
    f.names_table
    or l.same_names = l.total
    or (l.total >= 4 and (l.same_names * 4 >= l.total * 3 or (k.types = l.types and l.same_names * 2 >= l.total)))
  )
