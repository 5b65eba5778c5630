-- For one transaction. row_security: an error, instead of too few rows, for a role that row level security restricts.
-- lock_timeout: the limit of the wait for a table lock, such as that of an ALTER TABLE. A shorter one of the
-- user stays.
select
  pg_catalog.set_config('row_security', 'off', true) as row_security,
  pg_catalog.set_config(
    'lock_timeout',
    (1000 * extract(epoch from least(
      nullif(pg_catalog.current_setting('lock_timeout'), '0')::pg_catalog.interval, '4s'
    )))::pg_catalog.int4::text,
    true
  ) as lock_timeout
