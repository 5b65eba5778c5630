-- The other database, as a foreign server and for dblink: the settings shop.port and shop.log name it. Run by the superuser.

do $$
declare
  port text := current_setting('shop.port');
  log text := current_setting('shop.log');
begin
  execute format(
    'create server warehouse foreign data wrapper postgres_fdw options (host %L, port %L, dbname %L)',
    '127.0.0.1', port, log
  );
  execute format(
    'alter database %I set app.log_dsn = %L', current_database(),
    format('host=127.0.0.1 port=%s dbname=%s user=shop_log password=nightjar-log-password', port, log)
  );
end;
$$;
create user mapping for postgres server warehouse
options (user 'shop_log', password 'nightjar-log-password');
create foreign table public.warehouse (message text) server warehouse
options (schema_name 'public', table_name 'log');
alter foreign table public.warehouse owner to postgres;
grant select on public.warehouse to authenticated;
