-- The statements that make the settings of roles and of the database in the copy, whose name is %1$I. Libraries are
-- left out: the embedded server may lack them. `custom` is the value of a setting that the project defines.
select
  format(
    case
      when s.setrole = 0 then 'alter database postgres set %2$I = %3$s'
      when s.setdatabase = 0 then 'alter role %1$I set %2$I = %3$s'
      else 'alter role %1$I in database postgres set %2$I = %3$s'
    end,
    pg_get_userbyid(s.setrole),
    p.name,
    -- the value of a list is stored with its quotes
    case when p.value = '' or p.name not in ('search_path', 'temp_tablespaces') then quote_literal(p.value) else p.value end
  ) as statement,
  case when position('.' in p.name) > 0 then p.value end as custom
from pg_db_role_setting as s
left join pg_roles as r on s.setrole = r.oid
cross join unnest(s.setconfig) as c (setting)
cross join lateral (
  select
    lower(split_part(c.setting, '=', 1)) as name,
    substring(c.setting from '=(.*)$') as value
) as p
where
  (s.setdatabase = 0 or s.setdatabase = (select d.oid from pg_database as d
where d.datname = current_database()))
  and (s.setrole = 0 or r.rolname !~ '^pg_')
  and p.name not like '%\_preload\_libraries'
order by s.setdatabase, s.setrole, p.name
