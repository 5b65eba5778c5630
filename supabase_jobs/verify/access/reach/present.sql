-- The tables of the platform that can be watched, and whether a setting of the database looks like a secret.
select t.name
from (values ('cron.job')) as t (name)
where has_table_privilege(to_regclass(t.name), 'select')
union all
select 'secret setting'
where exists (
    select 1
    from pg_db_role_setting as r
    cross join unnest(r.setconfig) as c (setting)
    where split_part(c.setting, '=', 1) ~* '(secret|password|token|key)'
      and split_part(c.setting, '=', 1) like '%.%'
      and c.setting not like 'pgrst.%'
  )
