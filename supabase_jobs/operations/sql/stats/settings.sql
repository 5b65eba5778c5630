-- For one transaction, which is read only. Row security: an error rather than too small a number. Time: nobody
-- wants to burden a busy database with looking at it.
select
  pg_catalog.set_config('row_security', 'off', true) as row_security,
  pg_catalog.set_config('lock_timeout', '4s', true) as lock_timeout,
  pg_catalog.set_config('statement_timeout', '10s', true) as statement_timeout
