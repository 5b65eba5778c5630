-- $1 oid, $2 name, $3 schema, $4 version
-- Lists a stand-in as an extension; its members are the objects that are newer than the oid.
with
moved as (
  update pg_catalog.pg_extension set extnamespace = $3::regnamespace, extversion = $4
where extname = $2
  returning oid
),

added as (
  insert into pg_catalog.pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
  select
    $1::oid,
    $2,
    coalesce(to_regrole('postgres'), current_user::regrole),
    $3::regnamespace,
    true,
    $4
  where not exists (select from pg_catalog.pg_extension
where extname = $2)
  returning oid
),

extension as (
  select oid from moved
  union all
  select oid from added
),

members as (
  select
    'pg_proc'::regclass as classid,
    p.oid as objid
  from pg_catalog.pg_proc as p
  union all
  select
    'pg_type'::regclass as classid,
    t.oid as objid
  from pg_catalog.pg_type as t
  left join pg_catalog.pg_class as c on t.typrelid = c.oid
  where t.typelem = 0 and t.typtype <> 'm' and (c.oid is null or c.relkind = 'c')
  union all
  select
    'pg_class'::regclass as classid,
    c.oid as objid
  from pg_catalog.pg_class as c
  where
    c.relkind in ('r', 'v') or (
      c.relkind = 'S' and not exists (
        select from pg_catalog.pg_depend as d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
      )
    )
  union all
  select
    'pg_operator'::regclass as classid,
    o.oid as objid
  from pg_catalog.pg_operator as o
  union all
  select
    'pg_opfamily'::regclass as classid,
    f.oid as objid
  from pg_catalog.pg_opfamily as f
  union all
  select
    'pg_opclass'::regclass as classid,
    k.oid as objid
  from pg_catalog.pg_opclass as k
  union all
  select
    'pg_cast'::regclass as classid,
    y.oid as objid
  from pg_catalog.pg_cast as y
  union all
  select
    'pg_namespace'::regclass as classid,
    n.oid as objid
  from pg_catalog.pg_namespace as n
)

insert into pg_catalog.pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)
select
  m.classid,
  m.objid,
  0 as objsubid,
  'pg_extension'::regclass as refclassid,
  e.oid as refobjid,
  0 as refobjsubid,
  'e' as deptype
from extension as e
inner join members as m on m.objid > $1::oid

union all

-- so pg_dump writes the schema first; a schema that belongs to the extension cannot be one that it needs
select
  'pg_extension'::regclass as classid,
  e.oid as objid,
  0 as objsubid,
  'pg_namespace'::regclass as refclassid,
  n.oid as refobjid,
  0 as refobjsubid,
  'n' as deptype
from extension as e
inner join pg_catalog.pg_namespace as n on n.oid = $3::regnamespace
where not exists (
  select from pg_catalog.pg_depend as d
  where
    (d.classid = 'pg_extension'::regclass and d.objid = e.oid and d.refobjid = n.oid)
    or (d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
)
