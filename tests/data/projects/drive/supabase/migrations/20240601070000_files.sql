create table public.profiles (
  id uuid references auth.users on delete cascade not null primary key,
  full_name text,
  avatar_path text,
  quota_mb integer not null default 500
);
alter table profiles enable row level security;
create policy "Own profile" on profiles for select using (auth.uid() = id);
create policy "Edit own name" on profiles for update using (auth.uid() = id) with check (auth.uid() = id);
revoke insert, update, delete on profiles from anon, authenticated;
grant update (full_name, avatar_path) on profiles to authenticated;

create or replace function public.handle_new_user()
returns trigger as $$
begin
  insert into public.profiles (id, full_name) values (new.id, coalesce(new.raw_user_meta_data->>'name', new.email));
  return new;
end;
$$ language plpgsql security definer;
create trigger on_auth_user_created after insert on auth.users for each row execute procedure public.handle_new_user();

create table folders (
  id uuid default gen_random_uuid() primary key,
  owner_id uuid references profiles (id) on delete cascade not null default auth.uid(),
  parent_id uuid references folders (id) on delete cascade,
  name text not null,
  check (name <> '' and name not like '%/%'),
  unique (owner_id, parent_id, name)
);

create table files (
  id uuid default gen_random_uuid() primary key,
  folder_id uuid references folders (id) on delete cascade,
  owner_id uuid references profiles (id) on delete cascade not null default auth.uid(),
  object_name text unique not null,
  mime_type text not null default 'application/octet-stream',
  size_bytes bigint not null check (size_bytes >= 0),
  checksum bytea,
  created_at timestamptz default now()
);

create table file_shares (
  file_id uuid references files (id) on delete cascade,
  user_id uuid references profiles (id) on delete cascade,
  can_write boolean not null default false,
  primary key (file_id, user_id)
);

create or replace function owns_file(f uuid) returns boolean
language sql security definer stable set search_path = public
as $$ select exists (select 1 from files where id = f and owner_id = auth.uid()) $$;

create or replace function shared_with_me(f uuid) returns boolean
language sql security definer stable set search_path = public
as $$ select exists (select 1 from file_shares where file_id = f and user_id = auth.uid()) $$;

alter table folders enable row level security;
alter table files enable row level security;
alter table file_shares enable row level security;

create policy "Own folders" on folders using (owner_id = auth.uid()) with check (owner_id = auth.uid());
create policy "Own files" on files using (owner_id = auth.uid()) with check (owner_id = auth.uid());
create policy "Shared files" on files for select using (shared_with_me(id));
create policy "Owners share" on file_shares using (owns_file(file_id)) with check (owns_file(file_id));
create policy "See own shares" on file_shares for select using (user_id = auth.uid());
