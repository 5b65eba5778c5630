-- $1 exposed
-- Scheduled jobs with the bodies of the functions that they call, and whether one has dynamic SQL; and the columns of tables in
-- exposed schemas that users write text into.
select
  'job' as kind,
  coalesce(to_jsonb(j) ->> 'jobname', to_jsonb(j) ->> 'jobid') as name,
  j.command as text,
  coalesce(string_agg(p.prosrc, ' '), '') as body,
  coalesce(bool_or(l.lanname = 'plpgsql' and p.prosrc ~* '\mexecute\M'), false) as is_dynamic
from cron.job as j
left join pg_proc as p
  on p.pronamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    and j.command ~* ('\m' || regexp_replace(p.proname, '(\W)', '\\\1', 'g') || '"?\s*\(')
left join pg_language as l on p.prolang = l.oid
where coalesce((to_jsonb(j) ->> 'active')::boolean, true)
group by to_jsonb(j), j.command
union all
select
  'column',
  format('%I.%I', n.nspname, c.relname),
  quote_ident(a.attname),
  '',
  false
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on c.oid = a.attrelid
where c.relkind in ('r', 'p')
  and a.attnum > 0
  and a.atttypid in ('text'::regtype, 'varchar'::regtype)
  and n.nspname = any($1)
  and has_column_privilege('authenticated', c.oid, a.attnum, 'insert')
