-- Stand-ins for what migrations use of extensions that this installation of PostgreSQL lacks. Run by the superuser.
-- Each is created only if its extension is not available; a migration's CREATE EXTENSION is then left out.

do $$
begin
  if not exists (select from pg_catalog.pg_available_extensions where name = 'uuid-ossp') then
    create or replace function extensions.uuid_generate_v4() returns uuid
    language sql volatile
    as 'select pg_catalog.gen_random_uuid()';
    create or replace function extensions.uuid_generate_v1() returns uuid
    language sql volatile
    as 'select pg_catalog.gen_random_uuid()';
  end if;

  if not exists (select from pg_catalog.pg_available_extensions where name = 'pgcrypto') then
    create or replace function extensions.gen_random_bytes(integer) returns bytea
    language sql volatile
    as $f$
      select substr(string_agg(sha256(gen_random_uuid()::text::bytea), ''::bytea), 1, $1)
      from generate_series(0, $1 / 32)
    $f$;
    create or replace function extensions.digest(data bytea, type text) returns bytea
    language sql immutable strict
    as $f$ select case lower(type) when 'md5' then decode(md5(data), 'hex') when 'sha512' then sha512(data)
      when 'sha384' then sha384(data) when 'sha224' then sha224(data) else sha256(data) end $f$;
    create or replace function extensions.digest(data text, type text) returns bytea
    language sql immutable strict
    as $f$ select extensions.digest(convert_to(data, 'UTF8'), type) $f$;
    create or replace function extensions.hmac(data text, key text, type text) returns bytea
    language sql immutable strict
    as $f$ select extensions.digest(key || data, type) $f$;
    create or replace function extensions.gen_salt(type text) returns text
    language sql volatile strict
    as $f$ select '$' || type || '$' || md5(gen_random_uuid()::text) $f$;
    create or replace function extensions.gen_salt(type text, rounds integer) returns text
    language sql volatile strict
    as $f$ select extensions.gen_salt(type) $f$;
    create or replace function extensions.crypt(password text, salt text) returns text
    language sql immutable strict
    as $f$ select left(salt, 40) || md5(left(salt, 40) || password) $f$;
  end if;

  if not exists (select from pg_catalog.pg_available_extensions where name = 'citext')
    and to_regtype('extensions.citext') is null
  then
    create domain extensions.citext as text; -- compares as text does
  end if;

  if not exists (select from pg_catalog.pg_available_extensions where name = 'btree_gist') then
    -- two ranges overlap if the values are equal: `c with =` becomes `extensions.equality_range(c) with &&`
    create or replace function extensions.equality_range(value anyelement) returns int8range
    language sql immutable strict
    as $f$ select int8range(h, h, '[]') from hashtextextended(value::text, 0) as h $f$;
    grant execute on function extensions.equality_range(anyelement) to public;
  end if;

  if not exists (select from pg_catalog.pg_available_extensions where name = 'moddatetime') then
    create or replace function extensions.moddatetime() returns trigger
    language plpgsql
    as $f$ begin return jsonb_populate_record(new, jsonb_build_object(tg_argv[0], now())); end $f$;
  end if;

  -- the background workers of these two extensions do not run
  create schema if not exists cron;
  grant usage on schema cron to postgres;
  create table if not exists cron.job (
    jobid bigint generated always as identity, schedule text not null, command text not null, jobname text unique,
    active boolean not null default true, database text, username text
  );
  grant select on cron.job to postgres;
  create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
  language sql security definer
  as $f$
    insert into cron.job (jobname, schedule, command) values (job_name, schedule, command)
    on conflict (jobname) do update set schedule = excluded.schedule, command = excluded.command
    returning jobid
  $f$;
  create or replace function cron.unschedule(job_name text) returns boolean
  language sql security definer
  as $f$ with gone as (delete from cron.job where jobname = job_name returning 1) select count(*) > 0 from gone $f$;

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
end;
$$;
