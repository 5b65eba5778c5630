-- For one read-only transaction. row_security: an error, instead of too few rows, for a role that row level security
-- restricts. statement_timeout: statistics must not burden a busy database.
-- Shorter limits of the user stay.
select
  pg_catalog.set_config('row_security', 'off', true) as row_security,
  pg_catalog.set_config(
    'lock_timeout',
    (1000 * extract(epoch from least(
      nullif(pg_catalog.current_setting('lock_timeout'), '0')::pg_catalog.interval, '4s'
    )))::pg_catalog.int4::text,
    true
  ) as lock_timeout,
  pg_catalog.set_config(
    'statement_timeout',
    (1000 * extract(epoch from least(
      nullif(pg_catalog.current_setting('statement_timeout'), '0')::pg_catalog.interval, '10s'
    )))::pg_catalog.int4::text,
    true
  ) as statement_timeout
