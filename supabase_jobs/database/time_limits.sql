-- $1 limits
-- For one transaction: each limit is the smaller of this one (milliseconds by setting) and the user's. 0 is no limit.
-- The session ends soon after its client: a computer that sleeps, a process that is stopped, a network that is gone.
-- Settings that this server does not have, or its operating system does not support, are left out.
select
  pg_catalog.set_config(
    l.name,
    least(
      1000 * extract(epoch from nullif(pg_catalog.current_setting(l.name), '0')::pg_catalog.interval),
      l.milliseconds::pg_catalog.float8
    )::pg_catalog.int8::text,
    true
  ) as milliseconds,
  pg_catalog.set_config('tcp_keepalives_idle', '3', true) as idle,
  pg_catalog.set_config('tcp_keepalives_interval', '2', true) as pause,
  pg_catalog.set_config('tcp_keepalives_count', '2', true) as attempts,
  pg_catalog.set_config('tcp_user_timeout', '7000', true) as unacknowledged
from pg_catalog.json_each_text($1::pg_catalog.json) as l (name, milliseconds)
where pg_catalog.current_setting(l.name, true) is not null
  and (l.name <> 'client_connection_check_interval' or pg_catalog.version() like '%linux%')
