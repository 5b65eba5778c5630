create table workspaces (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default auth.uid() references auth.users on delete cascade,
  name text not null check (name <> ''),
  deleted_at timestamptz
);

create table notes (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references workspaces on delete cascade,
  parent_id uuid references notes on delete set null,
  title text not null default 'Untitled',
  content text,
  tags text[] not null default '{}',
  published boolean not null default false,
  deleted_at timestamptz,
  updated_at timestamptz not null default now()
);

create table note_versions (
  note_id uuid not null references notes on delete cascade,
  version int not null,
  content text,
  created_at timestamptz not null default now(),
  primary key (note_id, version)
);

create function touch() returns trigger language plpgsql as $$ begin new.updated_at := now(); return new; end $$;
create trigger notes_touch before update on notes for each row execute function touch();

create function keep_version() returns trigger language plpgsql security definer set search_path = public as $$
begin
  insert into note_versions (note_id, version, content)
  select old.id, coalesce(max(version), 0) + 1, old.content from note_versions where note_id = old.id;
  return new;
end $$;
create trigger notes_version after update of content on notes
  for each row when (old.content is distinct from new.content) execute function keep_version();

alter table workspaces enable row level security;
alter table notes enable row level security;
alter table note_versions enable row level security;

create policy workspaces_select on workspaces for select to authenticated using (owner_id = auth.uid());
create policy workspaces_insert on workspaces for insert to authenticated with check (owner_id = auth.uid());
create policy workspaces_update on workspaces for update to authenticated
  using (owner_id = auth.uid()) with check (owner_id = auth.uid());

create policy notes_select on notes for select to authenticated
  using (workspace_id in (select id from workspaces where owner_id = auth.uid() and deleted_at is null));
create policy notes_published on notes for select using (published and deleted_at is null);
create policy notes_insert on notes for insert to authenticated
  with check (workspace_id in (select id from workspaces where owner_id = auth.uid() and deleted_at is null));
create policy notes_update on notes for update to authenticated
  using (workspace_id in (select id from workspaces where owner_id = auth.uid()))
  with check (workspace_id in (select id from workspaces where owner_id = auth.uid()));

create policy versions_select on note_versions for select to authenticated
  using (note_id in (select n.id from notes n join workspaces w on w.id = n.workspace_id where w.owner_id = auth.uid()));
