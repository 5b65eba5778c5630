-- A table of another project: notes, some of them without an owner.
create table public.notes (
  id uuid not null default gen_random_uuid(),
  owner uuid,
  body text not null default '',
  constraint notes_pkey primary key (id),
  constraint notes_body_check check (length(body) < 100)
);
alter table public.notes enable row level security;
revoke all on table public.notes from public, anon, authenticated, service_role;
grant select, insert, update on table public.notes to authenticated;

create policy "users read their own notes" on public.notes
for select to authenticated
using (owner = (select auth.uid()));

create policy "users write their own notes" on public.notes
for insert to authenticated
with check (owner = (select auth.uid()));

create policy "users change their own notes" on public.notes
for update to authenticated
using (owner = (select auth.uid()))
with check (owner = (select auth.uid()));
