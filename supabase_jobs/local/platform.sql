-- A Supabase project before its first migration: roles, schemas, auth.users and the claim functions, as in today's
-- images; older_image.sql applies the differences of older images.
-- Run after owner.sql, in the same transaction, by the superuser supabase_admin, on PostgreSQL 15 to 18.
-- It can be run again, and in several databases of a cluster: existing roles are altered.

-- ---------------------------------------------------------------------------------------------------- roles

do $$
declare
  wanted text;
begin
  foreach wanted in array array[
    'supabase_admin', 'anon', 'authenticated', 'service_role', 'authenticator', 'supabase_auth_admin'
  ] loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
      execute format('create role %I', wanted);
    end if;
  end loop;
end;
$$;

-- the API roles: PostgREST switches to one of them for each request
alter role anon with nologin inherit;
alter role authenticated with nologin inherit;
alter role service_role with nologin inherit bypassrls;

-- PostgREST connects as this role. On hosted projects it also preloads safeupdate, which plain PostgreSQL lacks.
alter role authenticator with login noinherit;

-- the Auth server
alter role supabase_auth_admin with login noinherit;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role supabase_auth_admin set search_path = auth;
alter role postgres set search_path = "$user", public, extensions;

grant anon to authenticator;
grant authenticated to authenticator;
grant service_role to authenticator;

-- The owner of the project can switch to each API role. Since PostgreSQL 16, CREATEROLE alone does not allow it to
-- grant these roles, so hosted projects grant them with the admin option.
do $$
begin
  if current_setting('server_version_num')::integer >= 160000 then
    grant anon, authenticated, service_role, authenticator to postgres with admin option;
    grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres with admin option;
    grant pg_create_subscription to postgres;
  else
    grant anon, authenticated, service_role, authenticator to postgres;
    grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
  end if;
end;
$$;

-- supautils lets postgres switch triggers and foreign keys off, as `supabase db dump --data-only` does
do $$ begin execute 'grant set on parameter session_replication_role to postgres'; end $$;

-- ------------------------------------------------------------------------------------------- schema public

-- owned by pg_database_owner, whose member is postgres as the owner of the database
grant usage, create on schema public to postgres;
grant usage on schema public to anon, authenticated, service_role;

-- --------------------------------------------------------------------------------------- schema extensions

create schema if not exists extensions;
alter schema extensions owner to postgres;
grant usage on schema extensions to anon, authenticated, service_role;

-- not every installation includes contrib; gen_random_uuid() and sha256() are built in
do $$
declare
  extension text;
begin
  foreach extension in array array['pgcrypto', 'uuid-ossp'] loop
    if exists (select from pg_catalog.pg_available_extensions where name = extension) then
      execute format('create extension if not exists %I with schema extensions', extension);
    end if;
  end loop;
end;
$$;

-- --------------------------------------------------------------------------------------------- schema auth

create schema if not exists auth;
alter schema auth owner to supabase_admin;
grant all on schema auth to supabase_auth_admin;
grant usage on schema auth to postgres, anon, authenticated, service_role;

create table if not exists auth.users (
  instance_id uuid,
  id uuid not null,
  aud character varying(255),
  role character varying(255),
  email character varying(255),
  encrypted_password character varying(255),
  email_confirmed_at timestamptz,
  invited_at timestamptz,
  confirmation_token character varying(255),
  confirmation_sent_at timestamptz,
  recovery_token character varying(255),
  recovery_sent_at timestamptz,
  email_change_token_new character varying(255),
  email_change character varying(255),
  email_change_sent_at timestamptz,
  last_sign_in_at timestamptz,
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  is_super_admin boolean,
  created_at timestamptz,
  updated_at timestamptz,
  phone text,
  phone_confirmed_at timestamptz,
  phone_change text default '',
  phone_change_token character varying(255) default '',
  phone_change_sent_at timestamptz,
  confirmed_at timestamptz generated always as (least(email_confirmed_at, phone_confirmed_at)) stored,
  email_change_token_current character varying(255) default '',
  email_change_confirm_status smallint default 0,
  banned_until timestamptz,
  reauthentication_token character varying(255) default '',
  reauthentication_sent_at timestamptz,
  is_sso_user boolean not null default false,
  deleted_at timestamptz,
  is_anonymous boolean not null default false,
  constraint users_pkey primary key (id),
  constraint users_phone_key unique (phone),
  constraint users_email_change_confirm_status_check check (email_change_confirm_status between 0 and 2)
);
comment on table auth.users is 'Users, including anonymous ones. Written by the Auth server.';

-- users of single sign-on may have the same address
create unique index if not exists users_email_partial_key on auth.users (email) where is_sso_user = false;
create index if not exists users_instance_id_idx on auth.users (instance_id);
create index if not exists users_is_anonymous_idx on auth.users (is_anonymous);

alter table auth.users owner to supabase_auth_admin;
alter table auth.users enable row level security;

-- the project's owner can use the table and grant SELECT on it; the API roles have no privilege on it
grant all on auth.users to postgres;
grant select on auth.users to postgres with grant option;

-- Claims of the current request. Older versions of PostgREST set one setting per claim, newer ones set all claims as a
-- JSON document. A setting that was local to an earlier transaction is '', which means no claims.

create or replace function auth.uid() returns uuid
language sql stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  )::uuid
$$;

create or replace function auth.role() returns text
language sql stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.role', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
  )
$$;

create or replace function auth.email() returns text
language sql stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.email', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
  )
$$;

create or replace function auth.jwt() returns jsonb
language sql stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;

comment on function auth.uid() is 'The id of the signed-in user, from the claim `sub`; null for a guest.';
comment on function auth.role() is 'The claim `role`.';
comment on function auth.email() is 'The claim `email`.';
comment on function auth.jwt() is 'All claims of the request.';

alter function auth.uid() owner to supabase_auth_admin;
alter function auth.role() owner to supabase_auth_admin;
alter function auth.email() owner to supabase_auth_admin;
alter function auth.jwt() owner to supabase_auth_admin;

-- ------------------------------------------------------------------------------------------------ realtime

-- empty; a migration or the dashboard adds tables to it
do $$
begin
  if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;
end;
$$;
alter publication supabase_realtime owner to postgres;

-- --------------------------------------------------------------------------------------------------- the API

-- PostgREST caches the schema. As on a hosted project, these triggers make it reload the schema after each change.

create or replace function extensions.pgrst_ddl_watch() returns event_trigger
language plpgsql
as $$
declare
  cmd record;
begin
  for cmd in select * from pg_event_trigger_ddl_commands() loop
    if cmd.command_tag in (
      'CREATE SCHEMA', 'ALTER SCHEMA', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE',
      'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'CREATE VIEW', 'ALTER VIEW',
      'CREATE MATERIALIZED VIEW', 'ALTER MATERIALIZED VIEW', 'CREATE FUNCTION', 'ALTER FUNCTION',
      'CREATE TRIGGER', 'CREATE TYPE', 'ALTER TYPE', 'CREATE RULE', 'COMMENT'
    ) and cmd.schema_name is distinct from 'pg_temp' then
      notify pgrst, 'reload schema';
    end if;
  end loop;
end
$$;

create or replace function extensions.pgrst_drop_watch() returns event_trigger
language plpgsql
as $$
declare
  obj record;
begin
  for obj in select * from pg_event_trigger_dropped_objects() loop
    if obj.object_type in (
      'schema', 'table', 'foreign table', 'view', 'materialized view', 'function', 'trigger', 'type', 'rule'
    ) and not obj.is_temporary then
      notify pgrst, 'reload schema';
    end if;
  end loop;
end
$$;

comment on function extensions.pgrst_ddl_watch() is 'Makes PostgREST reload the schema.';
comment on function extensions.pgrst_drop_watch() is 'Makes PostgREST reload the schema.';

do $$
begin
  if not exists (select from pg_catalog.pg_event_trigger where evtname = 'pgrst_ddl_watch') then
    create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
  end if;
  if not exists (select from pg_catalog.pg_event_trigger where evtname = 'pgrst_drop_watch') then
    create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_drop_watch();
  end if;
end;
$$;
