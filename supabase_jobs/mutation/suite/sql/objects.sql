-- The tables, views and functions of the project, named as the operators name them: those of platform schemas and of
-- extensions are left out.
with project as (
  select
    n.oid,
    n.nspname
  from pg_namespace as n
  where n.nspname !~ '^(pg_|_)'
    and n.nspname <> all(array[
      'information_schema', 'auth', 'storage', 'realtime', 'vault', 'extensions', 'graphql', 'graphql_public', 'cron',
      'net', 'supabase_functions', 'supabase_migrations', 'pgsodium', 'pgsodium_masks', 'pgbouncer', 'pgmq', 'pgtle',
      'tiger', 'tiger_data', 'topology', 'dbdev'
    ])
)

select
  format('%I.%I', p.nspname, c.relname) as name,
  p.nspname::text as schema,
  c.relname::text as plain,
  false as is_function
from pg_class as c
inner join project as p on c.relnamespace = p.oid
where c.relkind in ('r', 'p', 'v', 'm')
  and not c.relispartition
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
union all
select
  format('%I.%I(%s)', p.nspname, f.proname, replace(oidvectortypes(f.proargtypes), ', ', ',')),
  p.nspname::text,
  f.proname::text,
  true
from pg_proc as f
inner join project as p on f.pronamespace = p.oid
where f.prokind = 'f'
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_proc'::regclass and d.objid = f.oid and d.deptype = 'e'
  )
order by name
