-- Every relation, composite type, function and schema of the database, except those of PostgreSQL and of the migration ledger. The
-- difference between two results is what was created in between.
select
  'relations' as part,
  format('%I.%I', n.nspname, c.relname) as object
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'supabase_migrations')
union all
select
  'types',
  format('%I.%I', n.nspname, c.relname)
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind = 'c'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'supabase_migrations')
union all
select
  'functions',
  format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ','))
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
union all
select
  'schemas',
  format('%I', n.nspname)
from pg_namespace as n
where n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'supabase_migrations')
order by 1, 2
