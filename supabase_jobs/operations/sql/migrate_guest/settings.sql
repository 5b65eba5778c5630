-- For one transaction: the limit of the wait for another session that locks the guest or its jobs. A shorter one of the
-- user stays.
select
  pg_catalog.set_config(
    'lock_timeout',
    (1000 * extract(epoch from least(
      nullif(pg_catalog.current_setting('lock_timeout'), '0')::pg_catalog.interval, '4s'
    )))::pg_catalog.int4::text,
    true
  ) as setting
