-- $1 schemas
-- Tables and views of these schemas, with the privileges of the API roles; objects of extensions are left out.
-- `kind`: r table, p partitioned table, v view, m materialized view, f foreign table. `granted`: "role privilege".
-- `partial` are the conditions of indexes of some rows.
-- `calls`: a view calls a function that may read what its caller cannot, other than those of Supabase.
-- Whether a foreign table, or a view that reads one, can be updated, only its wrapper knows.
with recursive outside as (
  select c.oid
  from pg_class as c
  where c.relkind = 'f'

  union

  select w.ev_class
  from outside as o
  inner join pg_depend as d on o.oid = d.refobjid and d.refclassid = 'pg_class'::regclass
  inner join pg_rewrite as w on d.objid = w.oid and d.classid = 'pg_rewrite'::regclass
)

select
  c.oid::bigint as oid,
  n.nspname::text as schema,
  c.relname::text as name,
  c.relkind::text as kind,
  c.relrowsecurity as rls,
  c.relforcerowsecurity as forced,
  pg_get_userbyid(c.relowner)::text as owner,
  coalesce('security_invoker=true' = any(c.reloptions) or 'security_invoker=on' = any(c.reloptions), false) as invoker,
  case when c.oid in (select o.oid from outside as o) then 0 else pg_relation_is_updatable(c.oid, true) end as updatable,
  (select i.inhparent::bigint from pg_inherits as i
where i.inhrelid = c.oid and c.relispartition) as partition_of,
  pg_get_expr(c.relpartbound, c.oid) as bound,
  pg_get_partkeydef(c.oid) as partition_key,
  array(
    select r.rolname || ' ' || p.privilege
    from pg_roles as r
    cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) as p (privilege)
    where r.rolname in ('anon', 'authenticated', 'service_role')
      and has_table_privilege(r.oid, c.oid, p.privilege)
  ) as granted,
  array(
    select t.tgfoid::bigint
    from pg_trigger as t
    where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D'
  ) as triggers,
  array(
    select t.tgfoid::bigint
    from pg_trigger as t
    where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D' and (t.tgtype & 4) <> 0
  ) as insert_triggers,
  (
    select count(*) > 0
    from pg_trigger as t
    where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D' and (t.tgtype & 1) = 0
  ) as statement_triggers,
  array(
    select distinct d.refobjid::bigint
    from pg_rewrite as w
    inner join pg_depend as d on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
    where w.ev_class = c.oid and d.refclassid = 'pg_class'::regclass and d.refobjid <> c.oid
  ) as reads,
  exists(
    select from pg_rewrite as w
    inner join pg_depend as d on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
    inner join pg_proc as f on d.refobjid = f.oid
    where w.ev_class = c.oid
      and d.refclassid = 'pg_proc'::regclass
      and (f.prosecdef or f.pronamespace::regnamespace::text <> 'auth')
  ) as calls,
  case when c.relkind = 'v' then pg_get_viewdef(c.oid) end as definition,
  array(
    select pg_get_expr(i.indpred, i.indrelid)
    from pg_index as i
    where i.indrelid = c.oid and i.indpred is not null
    order by i.indexrelid
  ) as partial
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = any($1)
  and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and (n.nspname <> 'storage' or c.relname = 'objects')
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
order by n.nspname, c.relname
