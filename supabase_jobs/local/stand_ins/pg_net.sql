-- Stands in for the extension pg_net, which this installation of PostgreSQL lacks.

create schema if not exists net;
grant usage on schema net to postgres, anon, authenticated, service_role;
create or replace function net.http_post(
  url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
  timeout_milliseconds integer default 5000
) returns bigint
language sql
as 'select 1::bigint';
create or replace function net.http_get(
  url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds integer default 5000
) returns bigint
language sql
as 'select 1::bigint';
