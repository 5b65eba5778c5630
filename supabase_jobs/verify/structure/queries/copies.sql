-- Tables that have every column of one of ours and no row level security, and that public or a role that the API takes
-- on may read: a backup from before a change, an archive, something to try things on, a foreign table, which cannot have
-- row level security. No policy holds what was copied.
select
  o.name as object,
  'copy without row level security' as kind,
  s.name,
  'for ' || g.roles as value,
  '' as mend,
  case t.relkind
    when 'f' then format('revoke all on table %s from %s;', s.name, g.identifiers)
    else format('alter table %s enable row level security;', s.name)
  end as remove,
  'error' as unexpected,
  'error' as differs
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
  -- a child is one already by what inherits
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
