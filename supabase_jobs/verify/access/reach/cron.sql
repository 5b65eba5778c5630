-- Scheduled jobs with the bodies of the functions that they call.
select
  coalesce(to_jsonb(j) ->> 'jobname', to_jsonb(j) ->> 'jobid') as name,
  j.command as text,
  coalesce(string_agg(p.prosrc, ' '), '') as body
from cron.job as j
left join pg_proc as p
  on p.pronamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    and j.command ~* ('\m' || regexp_replace(p.proname, '(\W)', '\\\1', 'g') || '"?\s*\(')
where coalesce((to_jsonb(j) ->> 'active')::boolean, true)
group by to_jsonb(j), j.command
