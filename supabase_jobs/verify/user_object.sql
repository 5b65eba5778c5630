-- $1 schema, $2 name, $3 part, $4 managed
-- The table, if it or its part, a constraint or a column, is a user object.
-- `whole_table`: the table itself is one; else only the part.
-- `of_managed_rows`: a foreign key that refers to a managed table.
-- `checked`: the columns of a check constraint. `of_all_owners`: a unique index or foreign key without a column of another primary or foreign key.
-- `nullable`: the statement that lets inserts leave out the columns of the project that are NOT NULL, if this is one of them and
-- neither a default with a value nor a trigger of the project fills them.
-- `closed_parent`: the table that a foreign key refers to, if it is one of the project into which no request may insert.
-- A partition of a managed table is managed. No row if table and part are managed.
with named as (
  select
    c.oid,
    n.nspname,
    c.relname,
    format('%I.%I', n.nspname, c.relname) as name
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
)

select
  refusing.name,
  refusing.name <> all($4) as whole_table,
  (
    select count(*) > 0
    from (
      select (i.indkey::int2[])[0:i.indnkeyatts - 1] as columns
      from pg_index as i
      inner join pg_class as c on i.indexrelid = c.oid
      where i.indrelid = refusing.oid and i.indisunique and c.relname = $3
      union all
      select f.conkey
      from pg_constraint as f
      where f.conrelid = refusing.oid and f.contype = 'f' and f.conname = $3
    ) as o
    where
      not exists (
        select
        from pg_constraint as k
        where
          k.conrelid = refusing.oid
          and (k.contype = 'p' or k.contype = 'f' and k.conname <> $3)
          and k.conkey && o.columns
      )
  ) as of_all_owners,
  (
    select count(*) > 0
    from pg_constraint as f
    inner join named as o on f.confrelid = o.oid
    where f.conrelid = refusing.oid and f.contype = 'f' and f.conname = $3 and o.name = any($4)
  ) as of_managed_rows,
  array(
    select format('%s:%s', refusing.name, a.attname)
    from pg_constraint as k
    inner join pg_attribute as a on k.conrelid = a.attrelid and a.attnum = any(k.conkey)
    where k.conrelid = refusing.oid and k.contype = 'c' and k.conname = $3
  ) as checked,
  (
    select
      format(
        'alter table %s %s;', refusing.name, string_agg(format('alter column %I drop not null', a.attname), ', ' order by a.attnum)
      )
    from pg_attribute as a
    left join lateral (
      select pg_get_expr(f.adbin, f.adrelid) as text from pg_attrdef as f
      where f.adrelid = a.attrelid and f.adnum = a.attnum
    ) as d on true
    where
      a.attrelid = refusing.oid
      and a.attnum > 0
      and not a.attisdropped
      and a.attnotnull
      -- the default is null, and no claim or header of requests that the project has
      and (not a.atthasdef or a.attname = $3 and d.text !~* '\m(auth|request)\.')
      and a.attidentity = ''
      and format('%s:%s', refusing.name, a.attname) <> all($4)
      and not exists (
        select
        from pg_trigger as t
        where
          t.tgrelid = refusing.oid
          and not t.tgisinternal
          and t.tgenabled in ('O', 'A')
          and t.tgtype & 6 = 6 -- before insert
          and format('%s:%s', refusing.name, t.tgname) <> all($4)
      )
    having bool_or(a.attname = $3)
  ) as nullable,
  (
    select o.name
    from pg_constraint as f
    inner join named as o on f.confrelid = o.oid
    inner join pg_class as c on o.oid = c.oid
    where
      f.conrelid = refusing.oid
      and f.contype = 'f'
      and f.conname = $3
      and o.name <> all($4)
      and o.nspname <> 'auth'
      and not exists (
        select
        from pg_roles as r
        where
          r.rolname in ('anon', 'authenticated')
          and has_any_column_privilege(r.oid, o.oid, 'insert')
          and (
            not c.relrowsecurity
            or exists (
              select from pg_policy as p
              where p.polrelid = c.oid and p.polcmd in ('a', '*')
            )
          )
      )
  ) as closed_parent
from named as refusing
where
  refusing.nspname = $1
  and refusing.relname = $2
  and case
    when refusing.name = any($4) then refusing.name || ':' || $3 <> all($4)
    else not exists (
      select
      from named as ancestor
      where
        ancestor.name = any($4)
        and ancestor.oid in (select part.relid from pg_partition_ancestors(refusing.oid) as part)
    )
  end
