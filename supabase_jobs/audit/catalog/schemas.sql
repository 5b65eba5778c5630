-- The schemas of the project, and the API roles that may use each of them. Platform schemas are left out, but for
-- storage, whose objects requests reach under the policies of the project.
select
  n.oid::bigint as oid,
  n.nspname::text as schema,
  array(
    select r.rolname::text
    from pg_roles as r
    where r.rolname in ('anon', 'authenticated', 'service_role')
      and has_schema_privilege(r.oid, n.oid, 'USAGE')
  ) as users
from pg_namespace as n
where n.nspname !~ '^(pg_|_)'
  and n.nspname <> all(array[
    'information_schema', 'auth', 'realtime', 'vault', 'extensions', 'graphql', 'graphql_public', 'cron',
    'net', 'supabase_functions', 'supabase_migrations', 'pgsodium', 'pgsodium_masks', 'pgbouncer', 'pgmq', 'pgtle',
    'tiger', 'tiger_data', 'topology', 'dbdev'
  ])
order by n.nspname
