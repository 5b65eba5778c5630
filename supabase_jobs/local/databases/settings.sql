-- $1 database
-- The statements that give a copy the settings of this database, which `create database` does not copy.
select
  format(
    case s.setrole
      when 0 then 'alter database %1$I set %3$I = %4$s'
      else 'alter role %2$I in database %1$I set %3$I = %4$s'
    end,
    $1::text,
    pg_get_userbyid(s.setrole),
    p.name,
    -- the value of a list is stored with its quotes
    case
      when p.value = '' or p.name not in ('search_path', 'session_preload_libraries', 'temp_tablespaces')
        then quote_literal(p.value)
      else p.value
    end
  ) as statement
from pg_db_role_setting as s
cross join unnest(s.setconfig) as c (setting)
cross join lateral (
  select
    lower(split_part(c.setting, '=', 1)) as name,
    substring(c.setting from '=(.*)$') as value
) as p
where s.setdatabase = (
  select d.oid from pg_database as d
  where d.datname = current_database()
)
