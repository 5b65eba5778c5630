-- Notebooks with members, and their notes: for the tests of `mutate --run`.
create table public.notebooks (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  title text not null
);

create table public.members (
  notebook_id uuid not null references public.notebooks (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  role text not null default 'reader' check (role in ('reader', 'editor')),
  primary key (notebook_id, user_id)
);

create table public.notes (
  id bigint generated always as identity primary key,
  notebook_id uuid not null references public.notebooks (id) on delete cascade,
  body text not null,
  is_public boolean not null default false
);

alter table public.notebooks enable row level security;
alter table public.members enable row level security;
alter table public.notes enable row level security;

revoke all on public.notebooks, public.members, public.notes from anon, authenticated;
grant select, insert, update, delete on public.notebooks, public.members, public.notes to authenticated;
grant select on public.notes to anon;

create policy "owners manage their notebooks" on public.notebooks
for all to authenticated
using (owner_id = (select auth.uid()))
with check (owner_id = (select auth.uid()));

create policy "owners manage members" on public.members
for all to authenticated
using (exists (select from public.notebooks as n where n.id = notebook_id and n.owner_id = (select auth.uid())))
with check (exists (select from public.notebooks as n where n.id = notebook_id and n.owner_id = (select auth.uid())));

create policy "users read their memberships" on public.members
for select to authenticated
using (user_id = (select auth.uid()));

create policy "everyone reads public notes" on public.notes
for select to anon, authenticated
using (is_public);

create policy "members read notes" on public.notes
for select to authenticated
using (exists (select from public.members as m where m.notebook_id = notes.notebook_id and m.user_id = (select auth.uid())));

create policy "editors write notes" on public.notes
for insert to authenticated
with check (
  exists (
    select from public.members as m
    where m.notebook_id = notes.notebook_id and m.user_id = (select auth.uid()) and m.role = 'editor'
  )
);
