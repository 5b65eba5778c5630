-- The schemas that the API exposes by a setting of the role authenticator, which PostgREST prefers to its configuration
-- file. A setting for this database counts before one for all.
select btrim(s.name) as schema
from (
  select r.setconfig
  from pg_db_role_setting as r
  where r.setrole = to_regrole('authenticator')::oid
    and r.setdatabase in (
      0, (
        select d.oid from pg_database as d
        where d.datname = current_database()
      )
    )
    and exists (
      select from unnest(r.setconfig) as e (setting)
      where starts_with(e.setting, 'pgrst.db_schemas=')
    )
  order by r.setdatabase desc
  limit 1
) as r
cross join unnest(r.setconfig) as c (setting)
cross join lateral string_to_table(substr(c.setting, length('pgrst.db_schemas=') + 1), ',') as s (name)
where starts_with(c.setting, 'pgrst.db_schemas=')
