create extension if not exists citext with schema extensions;

create type weekday as enum ('mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun');
create type slot_kind as enum ('morning', 'noon', 'evening');
create type member_state as enum ('pending', 'member', 'left');
create domain postcode as text check (value ~ '^[0-9]{5}$');
create domain positive as integer check (value > 0);

-- a single row
create table settings (
  only_row boolean primary key default true check (only_row),
  site_name text not null default 'Bookings',
  maintenance boolean not null default false,
  opening int4range not null default '[8,20)'
);
insert into settings default values;

-- one row for each pair: no second tenant can exist
create table opening_hours (
  day weekday not null,
  slot slot_kind not null,
  opens time not null default '08:00',
  closes time not null default '12:00',
  primary key (day, slot),
  check (closes > opens)
);
insert into opening_hours (day, slot) select d, s from unnest(enum_range(null::weekday)) d, unnest(enum_range(null::slot_kind)) s;

create table accounts (
  user_id uuid primary key references auth.users on delete cascade,
  handle extensions.citext unique not null check (length(handle) between 3 and 24),
  main_place_id uuid,
  invited_by uuid references accounts (user_id) on delete set null,
  staff boolean not null default false,
  settings jsonb not null default '{"locale": "en"}'
);

create table places (
  id uuid primary key default gen_random_uuid(),
  host_id uuid not null default auth.uid() references accounts (user_id) on delete cascade,
  name text not null,
  postcode postcode not null,
  seats positive not null default 1,
  photos text[] not null default '{}' check (cardinality(photos) <= 10),
  location point,
  search tsvector generated always as (to_tsvector('simple', name)) stored
);
alter table accounts add foreign key (main_place_id) references places (id) on delete set null;

create table place_members (
  place_id uuid references places on delete cascade,
  account_id uuid references accounts on delete cascade,
  state member_state not null default 'pending',
  since date not null default current_date,
  primary key (place_id, account_id)
);

create table bookings (
  id uuid not null default gen_random_uuid(),
  place_id uuid not null references places on delete cascade,
  guest_id uuid not null default auth.uid() references accounts on delete cascade,
  during tstzrange not null check (not isempty(during)),
  guests positive not null default 1,
  seats int4range not null default '[1,2)',
  cents bigint not null default 0 check (cents >= 0),
  total numeric(12, 2) generated always as (cents / 100.0) stored,
  primary key (id),
  exclude using gist (seats with &&, during with &&)
);

create table page_views (
  id bigint generated always as identity,
  place_id uuid not null references places on delete cascade,
  viewer_id uuid default auth.uid(),
  viewed_on date not null default current_date,
  primary key (id, viewed_on)
) partition by range (viewed_on);
create table page_views_2024 partition of page_views for values from ('2024-01-01') to ('2025-01-01');
create table page_views_2025 partition of page_views for values from ('2025-01-01') to ('2026-01-01');

create function new_account() returns trigger language plpgsql security definer set search_path = public, extensions as $$
begin
  insert into accounts (user_id, handle) values (new.id, left('u' || replace(new.id::text, '-', ''), 20));
  return new;
end $$;
create trigger new_account after insert on auth.users for each row execute function new_account();
