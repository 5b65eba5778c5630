-- Stands in for the extension pgjwt, which this installation of PostgreSQL lacks. No other program accepts its tokens.

create or replace function extensions.url_encode(data bytea) returns text
language sql immutable
as $$ select translate(encode(data, 'base64'), E'+/=\n', '-_') $$;
create or replace function extensions.sign(payload json, secret text, algorithm text default 'HS256') returns text
language sql immutable
as $$
  select concat_ws(
    '.', extensions.url_encode(convert_to(json_build_object('alg', algorithm, 'typ', 'JWT')::text, 'UTF8')),
    extensions.url_encode(convert_to(payload::text, 'UTF8')),
    extensions.url_encode(sha256(convert_to(payload::text || secret, 'UTF8')))
  )
$$;
create or replace function extensions.verify(token text, secret text, algorithm text default 'HS256')
returns table (header json, payload json, valid boolean)
language sql immutable
as 'select null::json, null::json, false';
