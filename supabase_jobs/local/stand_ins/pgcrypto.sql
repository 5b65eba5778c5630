-- Stands in for the extension pgcrypto, which this installation of PostgreSQL lacks.

create or replace function extensions.gen_random_bytes(integer) returns bytea
language sql volatile
as $$
  select substr(string_agg(sha256(gen_random_uuid()::text::bytea), ''::bytea), 1, $1)
  from generate_series(0, $1 / 32)
$$;
create or replace function extensions.digest(data bytea, type text) returns bytea
language sql immutable strict
as $$ select case lower(type) when 'md5' then decode(md5(data), 'hex') when 'sha512' then sha512(data)
  when 'sha384' then sha384(data) when 'sha224' then sha224(data) else sha256(data) end $$;
create or replace function extensions.digest(data text, type text) returns bytea
language sql immutable strict
as $$ select extensions.digest(convert_to(data, 'UTF8'), type) $$;
create or replace function extensions.hmac(data text, key text, type text) returns bytea
language sql immutable strict
as $$ select extensions.digest(key || data, type) $$;
create or replace function extensions.gen_salt(type text) returns text
language sql volatile strict
as $$ select '$' || type || '$' || md5(gen_random_uuid()::text) $$;
create or replace function extensions.gen_salt(type text, rounds integer) returns text
language sql volatile strict
as $$ select extensions.gen_salt(type) $$;
create or replace function extensions.crypt(password text, salt text) returns text
language sql immutable strict
as $$ select left(salt, 40) || md5(left(salt, 40) || password) $$;
create or replace function extensions.hmac(data bytea, key bytea, type text) returns bytea
language sql immutable strict
as 'select extensions.digest(key || data, type)';
create or replace function extensions.gen_random_uuid() returns uuid
language sql volatile
as 'select pg_catalog.gen_random_uuid()';
create or replace function extensions.pgp_sym_encrypt(data text, psw text) returns bytea
language sql volatile strict
as $$ select convert_to(reverse(data), 'UTF8') $$;
create or replace function extensions.pgp_sym_encrypt(data text, psw text, options text) returns bytea
language sql volatile strict
as 'select extensions.pgp_sym_encrypt(data, psw)';
create or replace function extensions.pgp_sym_decrypt(msg bytea, psw text) returns text
language sql immutable strict
as $$ select reverse(convert_from(msg, 'UTF8')) $$;
create or replace function extensions.pgp_sym_decrypt(msg bytea, psw text, options text) returns text
language sql immutable strict
as 'select extensions.pgp_sym_decrypt(msg, psw)';
