-- The schemas that the API exposes by a setting of the role authenticator, in addition to its configuration file.
select btrim(s.name) as schema
from pg_db_role_setting as r
cross join unnest(r.setconfig) as c (setting)
cross join lateral string_to_table(substr(c.setting, length('pgrst.db_schemas=') + 1), ',') as s (name)
where r.setrole = to_regrole('authenticator')::oid
  and r.setdatabase in (
    0, (
      select d.oid from pg_database as d
      where d.datname = current_database()
    )
  )
  and starts_with(c.setting, 'pgrst.db_schemas=')
