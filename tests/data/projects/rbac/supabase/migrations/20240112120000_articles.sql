create extension if not exists citext with schema extensions;

create table articles (
  id uuid primary key default gen_random_uuid(),
  author_id uuid not null default auth.uid() references auth.users on delete cascade,
  slug extensions.citext not null unique,
  title text not null check (char_length(title) between 3 and 200),
  body text not null default '',
  status article_status not null default 'draft',
  published_at timestamptz,
  search tsvector generated always as (to_tsvector('simple', title || ' ' || body)) stored,
  check (status <> 'published' or published_at is not null)
);
create index on articles using gin (search);

create table comments (
  id bigint generated always as identity primary key,
  article_id uuid not null references articles on delete cascade,
  user_id uuid not null default auth.uid() references auth.users on delete cascade,
  reply_to bigint references comments on delete cascade,
  body text not null,
  hidden boolean not null default false
);

create table moderation_notes (
  id bigint generated always as identity primary key,
  comment_id bigint not null references comments on delete cascade,
  moderator_id uuid not null default auth.uid() references auth.users,
  note text not null
);

alter table articles enable row level security;
alter table comments enable row level security;
alter table moderation_notes enable row level security;

create policy "published articles" on articles for select using (status = 'published');
create policy "own articles" on articles for select to authenticated using (author_id = auth.uid());
create policy "editors see all articles" on articles for select to authenticated using (authorize('articles.publish'));
create policy "write drafts" on articles for insert to authenticated
  with check (author_id = auth.uid() and status in ('draft', 'in_review'));
create policy "edit drafts" on articles for update to authenticated
  using (author_id = auth.uid() and status in ('draft', 'in_review'))
  with check (author_id = auth.uid() and status in ('draft', 'in_review'));
create policy "editors publish" on articles for update to authenticated
  using (authorize('articles.publish')) with check (authorize('articles.publish'));
create policy "administrators delete" on articles for delete to authenticated using (authorize('articles.delete'));

create policy "comments of published articles" on comments for select
  using (not hidden and exists (select 1 from articles a where a.id = article_id and a.status = 'published'));
create policy "comment in one's own name" on comments for insert to authenticated
  with check (user_id = auth.uid() and not hidden
    and exists (select 1 from articles a where a.id = article_id and a.status = 'published'));
create policy "delete own comments" on comments for delete to authenticated using (user_id = auth.uid());
create policy "moderators" on comments for all to authenticated
  using (authorize('comments.moderate')) with check (authorize('comments.moderate'));

create policy "moderators write notes" on moderation_notes for all to authenticated
  using (authorize('comments.moderate')) with check (authorize('comments.moderate') and moderator_id = auth.uid());
