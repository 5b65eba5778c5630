-- Guests: people without an account, identified by an id in a request header.

-- Schema for helpers and definer bodies; the API exposes only `public`. A project may already have the schema, so
-- this file grants USAGE to the three API roles and changes nothing else about it.
create schema if not exists private;
grant usage on schema private to anon, authenticated, service_role;

-- GRANT only warns if another role owns the schema. Without USAGE every request would fail later.
do $$
begin
  if not has_schema_privilege('anon', 'private', 'usage')
    or not has_schema_privilege('authenticated', 'private', 'usage')
    or not has_schema_privilege('service_role', 'private', 'usage')
  then
    raise exception 'schema private belongs to another role, and % may not grant its use to the API roles', current_user
      using errcode = 'insufficient_privilege',
        hint = 'As its owner: grant usage on schema private to anon, authenticated, service_role;';
  end if;
end
$$;


-- Identity of the caller ------------------------------------------------------------------------

-- `create or replace` below serves a changed header. The first run must not replace a user function.
do $$
begin
  if to_regprocedure('private.request_guest_id()') is not null then
    raise exception 'function private.request_guest_id() already exists'
      using errcode = 'duplicate_function',
        hint = 'Rename it, or drop it if nothing uses it. Then apply again.';
  end if;
end
$$;

-- If the name of the header changes, `render` writes the section between these marks again, as a new version.
--! repeatable
-- plpgsql has an exception block: PostgreSQL 15 has no other test for valid JSON. A malformed header must result in
-- no identity, not in an error. Types are qualified here and in every function below. Even with an empty search_path,
-- PostgreSQL looks up types in pg_temp first, and a caller can create a type there (a domain whose CHECK runs code as
-- the owner).
create or replace function private.request_guest_id() returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  sent pg_catalog.text;
begin
  -- PostgREST lower-cases header names. A setting that was local to an earlier transaction reads as ''.
  sent := nullif(current_setting('request.headers', true), '')::pg_catalog.json ->> lower({{ guest_header }});

  -- the uuid type accepts other spellings (braces, no hyphens); a guest id has only this one
  if sent ~ '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$' then
    return sent::pg_catalog.uuid;
  end if;
  return null;
exception
  when data_exception then -- the setting is not JSON
    return null;
end
$$;
--! end

comment on function private.request_guest_id() is
'The guest id in the header of this request. Null if the header is absent, empty or malformed.';

revoke all on function private.request_guest_id() from public, anon, authenticated, service_role;
grant execute on function private.request_guest_id() to anon, authenticated, service_role;


-- The table ------------------------------------------------------------------------------------

create table public.guest_users (
  guest_id uuid not null default gen_random_uuid(),
  created_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  migrated_to_user_id uuid,
  migrated_at timestamptz,
  constraint guest_users_pkey primary key (guest_id),
  constraint guest_users_migrated_to_user_id_fkey
  foreign key (migrated_to_user_id) references auth.users (id) on delete set null
);

alter table public.guest_users enable row level security;

-- Default privileges of a project may grant ALL to each of these roles by name. That includes TRUNCATE, which row
-- level security does not restrict.
revoke all on table public.guest_users from public, anon, authenticated, service_role;
grant all on table public.guest_users to service_role;
grant select on table public.guest_users to anon;
-- Column privileges keep a guest from writing migrated_*. An upsert through the API also sets guest_id, to itself.
grant insert (guest_id, last_seen_at) on table public.guest_users to anon;
grant update (guest_id, last_seen_at) on table public.guest_users to anon;

comment on table public.guest_users is
'Guests: people who have not signed up. The random id of a guest is a bearer secret.';
comment on column public.guest_users.guest_id is
'Random UUID v4 and bearer secret. Keep it out of URLs, logs and readable columns of other tables.';
comment on column public.guest_users.last_seen_at is
'Time of the last visit. A guest that writes its row sets it to the time of the transaction, whatever it sends.';
comment on column public.guest_users.migrated_to_user_id is
'The user that this guest became. Only migrate_guest_jobs sets it.';
comment on column public.guest_users.migrated_at is
'Time when migrate_guest_jobs first moved the guest''s jobs to that user.';


-- Indexes --------------------------------------------------------------------------------------

-- cleanup_inactive_guests: guests in order of last_seen_at
create index idx_guest_users_last_seen_at on public.guest_users (last_seen_at);

-- ON DELETE SET NULL of a deleted user
create index idx_guest_users_migrated_to_user_id on public.guest_users (migrated_to_user_id)
where migrated_to_user_id is not null;


-- Trigger --------------------------------------------------------------------------------------

-- The times belong to the database: a guest that chose its own would never expire. The service and its members,
-- as the owner is, may set them. Definer functions, such as migrate_guest_jobs, run as the owner.
create function private.set_guest_user_times() returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if not pg_has_role('service_role', 'member') then
    new.created_at := case tg_op when 'INSERT' then now() else old.created_at end;
    new.last_seen_at := now();
  end if;
  return new;
end
$$;

comment on function private.set_guest_user_times() is
'Sets created_at and last_seen_at of a row that a guest writes, and ignores the values of the client.';

-- a trigger needs no EXECUTE
revoke all on function private.set_guest_user_times() from public, anon, authenticated, service_role;

create trigger set_guest_user_times_trigger
before insert or update on public.guest_users
for each row execute function private.set_guest_user_times();

comment on trigger set_guest_user_times_trigger on public.guest_users is
'Keeps last_seen_at correct, because cleanup_inactive_guests compares it.';


-- Policies -------------------------------------------------------------------------------------
-- A helper in a sub-select runs once per query, not once per row.

create policy "guests read their own guest row" on public.guest_users
for select to anon
using (guest_id = (select private.request_guest_id()));

create policy "guests create their own guest row" on public.guest_users
for insert to anon
with check (guest_id = (select private.request_guest_id()));

create policy "guests touch their own guest row" on public.guest_users
for update to anon
using (guest_id = (select private.request_guest_id()))
with check (guest_id = (select private.request_guest_id()));

create policy "the service has full access to guests" on public.guest_users
for all to service_role
using (true)
with check (true);

comment on policy "guests read their own guest row" on public.guest_users is
'A guest sees only the row with the id in its header.';
comment on policy "guests create their own guest row" on public.guest_users is
'A guest creates its own row before its first job.';
comment on policy "guests touch their own guest row" on public.guest_users is
'For last_seen_at, also by upsert. The grants limit the columns.';
comment on policy "the service has full access to guests" on public.guest_users is
'For the backend. Also covers a service_role without BYPASSRLS.';
