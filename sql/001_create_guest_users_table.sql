-- Guests: people known only by the id that they send in a request header.

-- Helpers and definer bodies live here; the API exposes `public` only. A project may have the schema
-- already, so nothing but USAGE for the three API roles is taken for granted or changed.
create schema if not exists private;
grant usage on schema private to anon, authenticated, service_role;

-- GRANT only warns where another role owns the schema; without USAGE every request would fail later.
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


-- Who is asking --------------------------------------------------------------------------------

-- `create or replace` below is for a changed header; the first time it must replace nobody's function.
do $$
begin
  if to_regprocedure('private.request_guest_id()') is not null then
    raise exception 'function private.request_guest_id() already exists'
      using errcode = 'duplicate_function',
        hint = 'Rename it, or drop it if nothing uses it, and apply again.';
  end if;
end
$$;

-- What stands between these marks is rendered once more, as a new version, where the header's name changes.
--! repeatable
-- plpgsql, not sql, for the exception block: on PostgreSQL 15 there is no other way to ask whether
-- a text is JSON, and a malformed header must make the caller nobody, never raise.
-- Types are qualified here and in every function below: with an empty search_path PostgreSQL still looks for
-- types in pg_temp first, where a caller can put its own (a domain whose CHECK runs code as the owner).
create or replace function private.request_guest_id() returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  sent pg_catalog.text;
begin
  -- PostgREST lower-cases header names; a setting made local to an earlier transaction reads ''
  sent := nullif(current_setting('request.headers', true), '')::pg_catalog.json ->> lower({{ guest_header }});

  -- the uuid type takes other spellings too (braces, no hyphens); a guest id has this one
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
'The guest id that this request sent in its header, or null where the header is absent, empty or malformed.';

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

-- By name as well as from public: a project's default privileges may have granted ALL to each of
-- them, TRUNCATE included, which row level security does not hold back.
revoke all on table public.guest_users from public, anon, authenticated, service_role;
grant all on table public.guest_users to service_role;
grant select on table public.guest_users to anon;
-- By column, so that a guest never writes migrated_*. An upsert through the API also sets guest_id, to itself.
grant insert (guest_id, last_seen_at) on table public.guest_users to anon;
grant update (guest_id, last_seen_at) on table public.guest_users to anon;

comment on table public.guest_users is
'People who have not signed up, each known by a random id that works as a bearer secret.';
comment on column public.guest_users.guest_id is
'Random UUID v4 and a bearer secret: keep it out of URLs, logs and other tables'' readable columns.';
comment on column public.guest_users.last_seen_at is
'Touched by the guest itself; cleanup_inactive_guests goes by it.';
comment on column public.guest_users.migrated_to_user_id is
'The user this guest became; set by migrate_guest_jobs only.';
comment on column public.guest_users.migrated_at is
'When migrate_guest_jobs first handed this guest''s jobs to that user.';


-- Indexes --------------------------------------------------------------------------------------

-- cleanup_inactive_guests, which goes through guests oldest first
create index idx_guest_users_last_seen_at on public.guest_users (last_seen_at);

-- the cascade of a deleted user (on delete set null)
create index idx_guest_users_migrated_to_user_id on public.guest_users (migrated_to_user_id)
where migrated_to_user_id is not null;


-- Policies -------------------------------------------------------------------------------------
-- Helpers stand in a sub-select, so that they run once per query and not once per row.

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
'A guest sees the row of the id in its header, and no other.';
comment on policy "guests create their own guest row" on public.guest_users is
'Guests create themselves, before their first job.';
comment on policy "guests touch their own guest row" on public.guest_users is
'For last_seen_at, also as an upsert; which columns is a matter of the grants.';
comment on policy "the service has full access to guests" on public.guest_users is
'The backend; true also where service_role has no bypassrls.';
