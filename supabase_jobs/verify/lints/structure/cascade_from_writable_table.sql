-- No foreign key of a managed table cascades from a user table that requests can write to: a cascade changes the rows of
-- every owner, because row level security does not apply to it.
-- It follows cascades from table to table. If the user table has row level security, its policies decide whose rows are
-- deleted, and the finding is a warning. It is a warning too if the cascade changes nothing but columns of the user.
-- A foreign key of the migrations stays: the key that leads from it to the user table is one of another managed table, or
-- a request may change the table itself, which is revoked.
with recursive cascade (managed, constraint_name, source, path, is_harmless, is_recorded) as (
  select
    k.conrelid,
    k.conname,
    k.oid,
    array[k.oid],
    k.confdeltype <> 'c'
    and not exists (
      select
      from pg_attribute as a
      where a.attrelid = k.conrelid
        and a.attnum = any(k.conkey)
        and ($1::jsonb -> 'recorded') ? format('%I.%I:column:%s', n.nspname, c.relname, a.attname)
    ),
    ($1::jsonb -> 'recorded') ? format('%I.%I:constraint:%s', n.nspname, c.relname, k.conname)
  from pg_constraint as k
  inner join pg_class as c on k.conrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where k.contype = 'f'
    and k.conparentid = 0
    and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd'))
    and ($1::jsonb -> 'managed') ? format('%I.%I', n.nspname, c.relname)
  union all
  select
    e.managed,
    e.constraint_name,
    k.oid,
    e.path || k.oid,
    e.is_harmless,
    e.is_recorded
  from cascade as e
  inner join pg_constraint as s on e.source = s.oid
  inner join pg_constraint as k on s.confrelid = k.conrelid and k.contype = 'f' and k.oid <> all(e.path)
  -- a deleted row deletes the rows that refer to it; rows that are only changed start no DELETE cascade
  where k.confdeltype = 'c'
    and s.confdeltype in ('c', 'n', 'd')
    and not e.is_recorded
)

select
  o.object,
  e.constraint_name::text as name,
  format(
    '%s can %s %s, which %s of every owner', w.names, w.how, u.object,
    case when e.is_harmless then 'changes user columns in the rows' else 'cascades to the rows' end
  ) as message,
  case
    when e.is_recorded then format('revoke update, delete on %s from anon, authenticated;', u.object)
    else format('alter table %s drop constraint %I;', o.object, e.constraint_name)
  end as fix,
  case when c.relrowsecurity or e.is_harmless then 'warning' else 'error' end as severity,
  '{}'::text[] as facts
from cascade as e
inner join pg_constraint as k on e.source = k.oid
inner join pg_class as c on k.confrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_class as t on e.managed = t.oid
inner join pg_namespace as m on t.relnamespace = m.oid
cross join lateral (select format('%I.%I', m.nspname, t.relname) as object) as o
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as u
cross join lateral (
  select
    string_agg(distinct r.rolname::text, ' and ' order by r.rolname::text) as names,
    string_agg(distinct p.how, ' or ' order by p.how) as how
  from pg_roles as r
  cross join lateral (
    select 'delete rows of' as how
    where k.confdeltype in ('c', 'n', 'd')
      and has_table_privilege(r.oid, c.oid, 'delete')
    union all
    select 'update the key of'
    where k.confupdtype in ('c', 'n', 'd')
      and exists (
        select 1 from unnest(k.confkey) as a (number)
        where has_column_privilege(r.oid, c.oid, a.number, 'update')
      )
  ) as p
  where r.rolname in ('anon', 'authenticated')
) as w
where w.names is not null
  and not ($1::jsonb -> 'managed') ? u.object
