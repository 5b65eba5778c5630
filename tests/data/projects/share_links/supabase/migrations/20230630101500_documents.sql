create extension if not exists pgcrypto with schema extensions;

create table documents (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default auth.uid() references auth.users on delete cascade,
  title text not null,
  body jsonb not null default '{}'::jsonb check (jsonb_typeof(body) = 'object')
);

create table share_links (
  id bigint generated always as identity primary key,
  document_id uuid not null references documents on delete cascade,
  token text not null unique default encode(extensions.gen_random_bytes(18), 'hex'),
  can_edit boolean not null default false,
  expires_at timestamptz,
  check (char_length(token) >= 20)
);

create table collaborators (
  document_id uuid not null references documents on delete cascade,
  user_id uuid not null references auth.users on delete cascade,
  access text not null default 'view' check (access in ('view', 'comment', 'edit')),
  primary key (document_id, user_id)
);

create table annotations (
  id bigint generated always as identity primary key,
  document_id uuid not null references documents on delete cascade,
  author_id uuid not null default auth.uid() references auth.users on delete cascade,
  range int4range not null,
  comment text not null
);

alter table documents enable row level security;
alter table share_links enable row level security;
alter table collaborators enable row level security;
alter table annotations enable row level security;

create function is_owner(document uuid) returns boolean language sql stable security definer set search_path = public
as $$ select exists (select 1 from documents d where d.id = document and d.owner_id = auth.uid()) $$;
create function access_to(document uuid) returns text language sql stable security definer set search_path = public
as $$ select access from collaborators c where c.document_id = document and c.user_id = auth.uid() $$;

create policy documents_owner on documents to authenticated using (owner_id = auth.uid()) with check (owner_id = auth.uid());
create policy documents_collaborator on documents for select to authenticated using (access_to(id) is not null);
create policy documents_editor on documents for update to authenticated
  using (access_to(id) = 'edit') with check (access_to(id) = 'edit');
revoke update on documents from anon, authenticated;
grant update (title, body) on documents to authenticated;

create policy links_owner on share_links to authenticated using (is_owner(document_id)) with check (is_owner(document_id));
create policy collaborators_owner on collaborators to authenticated
  using (is_owner(document_id)) with check (is_owner(document_id));
create policy collaborators_leave on collaborators for select to authenticated using (user_id = auth.uid());

create policy annotations_read on annotations for select to authenticated
  using (is_owner(document_id) or access_to(document_id) is not null);
create policy annotations_write on annotations for insert to authenticated
  with check (author_id = auth.uid() and (is_owner(document_id) or access_to(document_id) in ('comment', 'edit')));

-- anyone who has the link
create function shared_document(link_token text) returns table (title text, body jsonb)
language sql stable security definer set search_path = public as $$
  select d.title, d.body from share_links s join documents d on d.id = s.document_id
  where s.token = link_token and (s.expires_at is null or s.expires_at > now())
$$;
