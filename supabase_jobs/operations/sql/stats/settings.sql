-- For one read-only transaction. row_security: an error, instead of too few rows, for a role that row level security
-- restricts. statement_timeout: statistics must not burden a busy database.
select
  pg_catalog.set_config('row_security', 'off', true) as row_security,
  pg_catalog.set_config('lock_timeout', '4s', true) as lock_timeout,
  pg_catalog.set_config('statement_timeout', '10s', true) as statement_timeout
