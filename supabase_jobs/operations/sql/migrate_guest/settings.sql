-- For one transaction: the limit of the wait for another session that locks the guest or its jobs.
select pg_catalog.set_config('lock_timeout', '4s', true) as setting
