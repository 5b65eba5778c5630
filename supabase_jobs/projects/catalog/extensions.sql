-- Extensions, except those that a new project has, and stand-ins that no migration creates. Versions belong to the platform.
select
  e.extname::text as object,
  'extension' as kind,
  '' as name,
  '[]'::jsonb as parents,
  'in schema ' || n.nspname as value,
  format('create extension if not exists %I with schema %I;', e.extname, n.nspname) as create_sql,
  format('drop extension %I;', e.extname) as drop_sql,
  null as replace_sql
from pg_extension as e
inner join pg_namespace as n on e.extnamespace = n.oid
where e.extname not in (
  'plpgsql', 'pgcrypto', 'uuid-ossp', 'pg_stat_statements', 'pg_graphql', 'supabase_vault', 'pgjwt', 'pgsodium'
)
and e.extversion <> 'preloaded stand-in'
