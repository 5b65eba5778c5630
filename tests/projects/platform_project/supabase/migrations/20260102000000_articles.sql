create type public.newsroom_role as enum ('editor', 'author');

create table public.newsroom_roles (
  user_id uuid primary key references auth.users on delete cascade,
  role public.newsroom_role not null
);
alter table public.newsroom_roles enable row level security;
create policy "people read their own role" on public.newsroom_roles
  for select to authenticated using (user_id = (select auth.uid()));
create policy "Auth reads roles for tokens" on public.newsroom_roles
  for select to supabase_auth_admin using (true);
grant select on public.newsroom_roles to supabase_auth_admin;

create function public.add_newsroom_role(event jsonb) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  found public.newsroom_role;
begin
  select r.role into found from public.newsroom_roles as r where r.user_id = (event ->> 'user_id')::uuid;
  return jsonb_set(event, '{claims,newsroom_role}', coalesce(to_jsonb(found), 'null'));
end;
$$;
revoke execute on function public.add_newsroom_role(jsonb) from public, anon, authenticated;
grant execute on function public.add_newsroom_role(jsonb) to supabase_auth_admin;

create table public.articles (
  id uuid primary key default gen_random_uuid(),
  author_id uuid not null default auth.uid() references auth.users on delete cascade,
  title text not null,
  published boolean not null default false
);
create index articles_title on public.articles using gin (title extensions.gin_trgm_ops);
alter table public.articles enable row level security;
grant select on public.articles to reporting;
create policy "everybody reads what is published" on public.articles
  for select to anon, authenticated using (published);
create policy "authors keep their drafts" on public.articles
  for all to authenticated using (author_id = (select auth.uid()) and not published)
  with check (author_id = (select auth.uid()) and not published);
create policy "editors change every article" on public.articles
  for all to authenticated using (((select auth.jwt()) ->> 'newsroom_role') = 'editor')
  with check (((select auth.jwt()) ->> 'newsroom_role') = 'editor');
