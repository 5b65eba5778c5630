-- $1 platform_schemas
-- What neither facts nor tables show: positions of sequences, roles with their settings, and objects of other kinds.
select
  'position of sequence' as kind,
  format('%I.%I', s.schemaname, s.sequencename) as name,
  coalesce(s.last_value::text, 'not used') as value
from pg_sequences as s
where s.schemaname <> all($1)
union all
select
  'role',
  r.rolname,
  concat_ws(' ', r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls,
    (
      select string_agg(pg_get_userbyid(m.roleid), ', ' order by 1)
      from pg_auth_members as m
      where m.member = r.oid
    ))
from pg_roles as r
where r.rolname !~ '^pg_'
union all
select
  'setting',
  coalesce(pg_get_userbyid(nullif(d.setrole, 0)), 'database'),
  array_to_string(d.setconfig, ', ')
from pg_db_role_setting as d
where d.setdatabase in (
  select 0
  union all
  select b.oid from pg_database as b
  where b.datname = current_database()
)
union all
select
  i.type,
  i.identity,
  'there'
from (
  select
    'pg_proc'::regclass as catalog,
    p.oid
  from pg_proc as p
  where p.prokind = 'a'
  union all
  select
    'pg_operator'::regclass,
    o.oid
  from pg_operator as o
  union all
  select
    'pg_cast'::regclass,
    c.oid
  from pg_cast as c
  union all
  select
    'pg_foreign_server'::regclass,
    f.oid
  from pg_foreign_server as f
  union all
  select
    'pg_statistic_ext'::regclass,
    s.oid
  from pg_statistic_ext as s
  union all
  select
    'pg_ts_config'::regclass,
    t.oid
  from pg_ts_config as t
  union all
  select
    'pg_ts_dict'::regclass,
    y.oid
  from pg_ts_dict as y
  union all
  select
    'pg_collation'::regclass,
    l.oid
  from pg_collation as l
) as u
cross join lateral pg_identify_object(u.catalog, u.oid, 0) as i
where u.oid >= 16384
order by 1, 2
