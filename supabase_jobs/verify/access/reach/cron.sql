-- $1 exposed
-- Scheduled jobs that call a function with dynamic SQL, and the tables in exposed schemas that users write text into.
select
  'job' as kind,
  coalesce(to_jsonb(j) ->> 'jobname', to_jsonb(j) ->> 'jobid') as name,
  j.command as text,
  string_agg(p.prosrc, ' ') as body
from cron.job as j
inner join pg_proc as p on j.command ~* ('\m' || regexp_replace(p.proname, '(\W)', '\\\1', 'g') || '"?\s*\(')
inner join pg_language as l on p.prolang = l.oid
where coalesce((to_jsonb(j) ->> 'active')::boolean, true)
  and l.lanname = 'plpgsql'
  and p.prosrc ~* '\mexecute\M'
group by to_jsonb(j), j.command
union all
select
  'column',
  format('%I.%I', n.nspname, c.relname),
  quote_ident(a.attname),
  ''
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on c.oid = a.attrelid
where c.relkind in ('r', 'p')
  and a.attnum > 0
  and a.atttypid in ('text'::regtype, 'varchar'::regtype)
  and n.nspname = any($1)
  and has_column_privilege('authenticated', c.oid, a.attnum, 'insert')
