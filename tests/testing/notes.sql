-- User tables for the tests of the pytest plugin: notes of users, and of devices identified by a header.
create table public.notes (
  id bigint generated always as identity,
  owner uuid,
  device text,
  body text not null default '',
  constraint notes_pkey primary key (id),
  constraint notes_body_check check (length(body) < 100)
);
alter table public.notes enable row level security;
revoke all on table public.notes from anon, authenticated;
grant select, insert, update on table public.notes to authenticated;
grant select, insert on table public.notes to anon;

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

create policy "devices read their own notes" on public.notes
for select to anon
using (device = (select nullif(current_setting('request.headers', true), '')::json ->> 'x-device'));

create policy "devices write their own notes" on public.notes
for insert to anon
with check (device = (select nullif(current_setting('request.headers', true), '')::json ->> 'x-device'));

create table public.comments (
  note_id bigint not null,
  constraint comments_note_id_fkey foreign key (note_id) references public.notes (id)
);
grant select, delete on table public.notes to service_role;
