-- For one transaction: as settings.sql, but each count has whatever plan suits it.
select
  pg_catalog.set_config('row_security', 'off', true) as row_security,
  pg_catalog.set_config('lock_timeout', '4s', true) as lock_timeout
