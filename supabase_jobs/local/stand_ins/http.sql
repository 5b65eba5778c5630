-- Stands in for the extension http: requests are not sent, and each is answered with 200 and an empty object.

do $$
begin
  if to_regtype('extensions.http_response') is not null then
    return;
  end if;
  create domain extensions.http_method as text;
  create type extensions.http_header as (field character varying, value character varying);
  create type extensions.http_request as (
    method extensions.http_method, uri character varying, headers extensions.http_header[],
    content_type character varying, content character varying
  );
  create type extensions.http_response as (
    status integer, content_type character varying, headers extensions.http_header[], content character varying
  );
end;
$$;
create or replace function extensions.http(request extensions.http_request) returns extensions.http_response
language sql
as $$ select 200, 'application/json'::character varying, null::extensions.http_header[], '{}'::character varying $$;
create or replace function extensions.http_header(field character varying, value character varying)
returns extensions.http_header
language sql immutable
as 'select field, value';
create or replace function extensions.http_get(uri character varying) returns extensions.http_response
language sql
as 'select extensions.http(null)';
create or replace function extensions.http_get(uri character varying, data jsonb) returns extensions.http_response
language sql
as 'select extensions.http(null)';
create or replace function extensions.http_post(
  uri character varying, content character varying, content_type character varying
) returns extensions.http_response
language sql
as 'select extensions.http(null)';
create or replace function extensions.http_post(uri character varying, data jsonb) returns extensions.http_response
language sql
as 'select extensions.http(null)';
create or replace function extensions.http_set_curlopt(curlopt character varying, value character varying)
returns boolean
language sql
as 'select true';
create or replace function extensions.urlencode(string character varying) returns text
language sql immutable strict
as 'select string';
