create table public.branches (id bigint generated always as identity primary key, name text not null);
create table public.readers (
  id uuid primary key references auth.users on delete cascade,
  branch_id bigint not null references public.branches,
  name text not null
);
create table public.librarians (user_id uuid primary key references auth.users on delete cascade);
create table public.loans (
  id bigint generated always as identity primary key,
  reader_id uuid not null references public.readers on delete cascade,
  title text not null,
  due date not null default current_date + 28
);
create table public.shelf_counts (shelf text not null, counted_at timestamptz not null, books integer not null);
create unique index shelf_counts_key on public.shelf_counts (shelf, counted_at);
create table public.notices (
  id bigint generated always as identity primary key, author uuid not null default auth.uid(), body text not null
);
create index loans_by_title on public.loans (title);
create index loans_by_title_again on public.loans (title);

create function public.is_librarian() returns boolean language sql stable security definer set search_path = ''
as $$ select exists (select from public.librarians as l where l.user_id = auth.uid()) $$;
create function public.reads_at(branch bigint) returns boolean language sql stable security definer set search_path = ''
as $$ select exists (select from public.readers as r where r.branch_id = branch and r.id = auth.uid()) $$;

alter table public.branches enable row level security;
alter table public.readers enable row level security;
alter table public.librarians enable row level security;
alter table public.loans enable row level security;
alter table public.shelf_counts enable row level security;
alter table public.notices enable row level security;

create policy "branches: of readers" on public.branches for select to authenticated using (public.reads_at(id));
create policy "readers: own" on public.readers for select to authenticated using (id = (select auth.uid()));
create policy "librarians: own" on public.librarians for select to authenticated
using (user_id = (current_setting('request.jwt.claims', true)::jsonb ->> 'sub')::uuid);
create policy "loans: own" on public.loans for select to authenticated using (reader_id = auth.uid());
create policy "loans: librarians" on public.loans for select to authenticated using (public.is_librarian());
create policy "loans: borrow" on public.loans for insert to authenticated with check (reader_id = auth.uid());
create policy "counts: librarians" on public.shelf_counts for select to authenticated
using ((select public.is_librarian()));
create policy "notices: own" on public.notices to authenticated using (author = (select auth.uid()));
create policy "notices: all" on public.notices for select to authenticated using (author = (select auth.uid()));
