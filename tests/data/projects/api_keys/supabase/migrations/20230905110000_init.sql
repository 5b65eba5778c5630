create schema if not exists private;
grant usage on schema private to anon, authenticated;

create type environment as enum ('development', 'staging', 'production');

create table projects (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  name text not null,
  slug text unique not null check (slug = lower(slug) and length(slug) between 3 and 40)
);

create table api_keys (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references projects (id) on delete cascade,
  environment environment not null default 'development',
  label text,
  key text not null unique default 'pk_' || replace(gen_random_uuid()::text, '-', ''),
  scopes text[] not null default '{flags:read}',
  last_used_at timestamptz,
  revoked_at timestamptz,
  constraint key_format check (key like 'pk\_%')
);

create table feature_flags (
  id bigint generated always as identity primary key,
  project_id uuid not null references projects (id) on delete cascade,
  environment environment not null default 'development',
  name text not null check (name ~ '^[a-z][a-z0-9_.]*$'),
  enabled boolean not null default false,
  rollout int4range not null default '[0,100)',
  rules jsonb not null default '[]' check (jsonb_typeof(rules) = 'array'),
  unique (project_id, environment, name)
);

create table events (
  id bigint generated always as identity,
  project_id uuid not null references projects (id) on delete cascade,
  name text not null,
  payload jsonb,
  ip inet,
  received_at timestamptz not null default now(),
  primary key (id, received_at)
) partition by range (received_at);
create table events_2023 partition of events for values from ('2023-01-01') to ('2024-01-01');
create table events_rest partition of events default;

create function private.request_api_key() returns text language sql stable as $$
  select nullif(current_setting('request.headers', true), '')::json ->> 'x-api-key'
$$;

create function private.project_of_key() returns uuid language sql stable security definer set search_path = public as $$
  select k.project_id from api_keys k where k.key = private.request_api_key() and k.revoked_at is null
$$;
