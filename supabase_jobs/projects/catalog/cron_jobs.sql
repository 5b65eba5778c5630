-- Jobs of pg_cron with a name. The extension has no function that schedules a job of another user.
select
  j.jobname::text as object,
  'cron job' as kind,
  '' as name,
  '[]'::jsonb as parents,
  format('%s: %s%s', j.schedule, j.command, case when j.active then '' else ' (not active)' end) as value,
  format('select cron.schedule(%L, %L, %L);', j.jobname, j.schedule, j.command)
  || case
    when j.active then ''
    else format(E'\nselect cron.alter_job(jobid, active := false) from cron.job where jobname = %L;', j.jobname)
  end as create_sql,
  format('select cron.unschedule(%L);', j.jobname) as drop_sql,
  null as replace_sql
from cron.job as j
where j.jobname is not null
