-- $1 platform_schemas
-- The tables whose rows migrations write: those of the project, users, buckets, files and jobs; with their columns, but
-- without generated ones.
select
  n.nspname::text as schema,
  c.relname::text as name,
  array_agg(a.attname::text order by a.attname) as columns
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on c.oid = a.attrelid
where c.relkind = 'r'
  and a.attnum > 0
  and not a.attisdropped
  and a.attgenerated = ''
  and (
    (n.nspname <> all($1) and n.nspname !~ '^pg_')
    or (n.nspname, c.relname) in (('auth', 'users'), ('storage', 'buckets'), ('storage', 'objects'), ('cron', 'job'))
    or n.nspname = 'vault'
  )
  and has_table_privilege(c.oid, 'SELECT')
group by n.nspname, c.relname
order by n.nspname, c.relname
