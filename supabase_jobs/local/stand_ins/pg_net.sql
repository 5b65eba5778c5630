-- Stands in for the extension pg_net, which would send requests: none is sent here.

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
create or replace function net.http_delete(
  url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds integer default 5000
) returns bigint
language sql
as 'select 1::bigint';
create table if not exists net.http_request_queue (
  id bigint generated always as identity primary key, method text not null, url text not null, headers jsonb,
  body bytea, timeout_milliseconds integer not null default 5000
);
create table if not exists net._http_response (
  id bigint, status_code integer, content_type text, headers jsonb, content text, timed_out boolean,
  error_msg text, created timestamptz not null default now()
);
grant all on net.http_request_queue, net._http_response to postgres;
