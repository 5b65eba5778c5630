-- $1 limit
-- Tables whose rows decide access and belong to no user, such as roles, permissions, plans and buckets: no request may
-- write them, no foreign key leads from them to auth.users, and something else in the database mentions them. Each with
-- the query that reads its rows in the original, as texts, the statement that inserts them into the copy, and the query
-- that reads their texts there. Run in the copy; `has_rows` is the query whether it has some already.
with recursive users as (
  select c.oid
  from pg_class as c
  where c.oid = to_regclass('auth.users')

  union

  select k.conrelid
  from users as u
  inner join pg_constraint as k on u.oid = k.confrelid
  where k.contype = 'f'
),

mentioned as (
  -- by a foreign key, a view or a policy
  select k.confrelid as oid
  from pg_constraint as k
  where k.contype = 'f'

  union

  select d.refobjid
  from pg_depend as d
  where d.refclassid = 'pg_class'::regclass
    and d.classid in ('pg_rewrite'::regclass, 'pg_policy'::regclass)

  union

  -- by the text of a function
  select c.oid
  from pg_class as c
  inner join pg_proc as p on position(c.relname in p.prosrc) > 0
  inner join pg_namespace as n on p.pronamespace = n.oid
  where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema')
)

select
  format('%s.%s', n.nspname, c.relname) as name,
  format('select exists (select from %I.%I)', n.nspname, c.relname) as has_rows,
  format('select t::text from only %I.%I as t limit %s', n.nspname, c.relname, $1::integer + 1) as query,
  format(
    'insert into %1$I.%2$I (%3$s) overriding system value select %4$s from unnest($1::text[]) as t (row)'
    ' cross join lateral (select (t.row::%1$I.%2$I).*) as r',
    n.nspname,
    c.relname,
    a.names,
    a.selected
  ) as statement,
  format(
    'select distinct v #>> ''{}'' from %I.%I as t'
    ' cross join lateral jsonb_path_query(to_jsonb(t), ''$.** ? (@.type() == "string" || @.type() == "number")'') as v',
    n.nspname,
    c.relname
  ) as texts,
  -- a unique key whose columns a CHECK limits: one row for settings
  exists(
    select
    from pg_index as i
    where i.indrelid = c.oid and i.indisunique
      and not exists (
        select
        from unnest(i.indkey::smallint []) as k (number)
        where k.number <> 0
          and not exists (
            select from pg_constraint as y
            where y.conrelid = c.oid and y.contype = 'c' and y.conkey = array [k.number]
          )
      )
  ) as may_be_single
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select
    string_agg(format('%I', a.attname), ', ' order by a.attnum) as names,
    string_agg(format('r.%I', a.attname), ', ' order by a.attnum) as selected
  from pg_attribute as a
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
) as a
where
  c.relkind = 'r'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'auth', 'vault', 'supabase_migrations', 'supabase_jobs_copy')
  and a.names is not null
  and c.oid not in (select u.oid from users as u)
  and c.oid in (select m.oid from mentioned as m)
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
  and not exists (
    select
    from pg_roles as r
    cross join unnest(array['INSERT', 'UPDATE', 'DELETE']) as p (privilege)
    where r.rolname in ('anon', 'authenticated')
      and (
        has_table_privilege(r.oid, c.oid, p.privilege)
        or (p.privilege <> 'DELETE' and has_any_column_privilege(r.oid, c.oid, p.privilege))
      )
      and (
        not c.relrowsecurity
        or exists (
          select from pg_policy as y
          where y.polrelid = c.oid and y.polpermissive
            and y.polcmd in ('*', case p.privilege when 'INSERT' then 'a' when 'UPDATE' then 'w' else 'd' end)
            and (y.polroles = '{0}' or r.oid = any(y.polroles))
        )
      )
  )
order by n.nspname, c.relname
