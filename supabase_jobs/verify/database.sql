-- Whether the transaction is read-only and why; `fix` if every session of the database is. Whether the database has Auth, and
-- the name of the server.
select
  current_setting('transaction_read_only')::boolean as is_read_only,
  case when pg_is_in_recovery() then 'a read-only replica' else 'a read-only transaction' end as kind,
  case
    when pg_is_in_recovery() or s.setting = 'off' then ''
    when s.source = 'database' then format('alter database %I reset default_transaction_read_only;', current_database())
    when s.source = 'configuration file'
      then E'alter system reset default_transaction_read_only;\nselect pg_reload_conf();'
    else ''
  end as fix,
  to_regnamespace('auth') is not null as has_auth,
  current_setting('cluster_name') as cluster_name
from pg_settings as s
where s.name = 'default_transaction_read_only'
