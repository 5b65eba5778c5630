-- For one transaction: a guest whose jobs somebody is changing is not waited for without end.
select pg_catalog.set_config('lock_timeout', '4s', true) as setting
