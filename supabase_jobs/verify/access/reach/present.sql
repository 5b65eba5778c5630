-- The tables of the platform that can be watched, whether a setting of the database looks like a secret, and the queues of pgmq.
select
  'table' as kind,
  t.name
from (values ('cron.job')) as t (name)
where has_table_privilege(to_regclass(t.name), 'select')
union all
select
  'setting',
  'secret setting'
where exists (
    select 1
    from pg_db_role_setting as r
    cross join unnest(r.setconfig) as c (setting)
    where split_part(c.setting, '=', 1) ~* '(secret|password|token|key)'
      and split_part(c.setting, '=', 1) like '%.%'
      and c.setting not like 'pgrst.%'
  )
union all
select
  'queue',
  substr(c.relname, 3)
from pg_class as c
where c.relnamespace = to_regnamespace('pgmq')
  and c.relkind = 'r'
  and starts_with(c.relname, 'q_')
