-- For one transaction. row_security: an error, instead of too few rows, for a role that row level security restricts.
-- lock_timeout: the limit of the wait for a table lock, such as that of an ALTER TABLE.
select
  pg_catalog.set_config('row_security', 'off', true) as row_security,
  pg_catalog.set_config('lock_timeout', '4s', true) as lock_timeout
