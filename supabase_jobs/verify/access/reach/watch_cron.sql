-- $1 command
-- The scheduled jobs with the caller's text.
select
  'scheduled' as what,
  '' as value
from cron.job as j
where j.command like '%' || $1 || '%'
