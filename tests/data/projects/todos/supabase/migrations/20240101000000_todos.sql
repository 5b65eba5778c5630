create table public.lists (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  name text not null check (char_length(name) between 1 and 80),
  color text not null default 'gray' check (color in ('gray', 'red', 'green', 'blue')),
  created_at timestamptz not null default now()
);

create table public.todos (
  id bigint generated always as identity primary key,
  list_id uuid not null references public.lists (id) on delete cascade,
  title text not null,
  notes text,
  priority smallint not null default 3 check (priority between 1 and 5),
  due_on date,
  done boolean not null default false,
  created_at timestamptz not null default now()
);

create table public.tags (
  id bigint generated always as identity primary key,
  owner_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  name text not null,
  unique (owner_id, name)
);

create table public.todo_tags (
  todo_id bigint not null references public.todos (id) on delete cascade,
  tag_id bigint not null references public.tags (id) on delete cascade,
  primary key (todo_id, tag_id)
);

alter table public.lists enable row level security;
alter table public.todos enable row level security;
alter table public.tags enable row level security;
alter table public.todo_tags enable row level security;

create policy "lists: own" on public.lists for all to authenticated
  using (owner_id = (select auth.uid())) with check (owner_id = (select auth.uid()));

create policy "todos: of own lists" on public.todos for all to authenticated
  using (exists (select 1 from public.lists l where l.id = list_id and l.owner_id = (select auth.uid())))
  with check (exists (select 1 from public.lists l where l.id = list_id and l.owner_id = (select auth.uid())));

create policy "tags: own" on public.tags for all to authenticated
  using (owner_id = (select auth.uid())) with check (owner_id = (select auth.uid()));

create policy "todo tags: of own todos" on public.todo_tags for all to authenticated
  using (
    exists (select 1 from public.todos t where t.id = todo_id)
    and exists (select 1 from public.tags g where g.id = tag_id)
  )
  with check (
    exists (select 1 from public.todos t where t.id = todo_id)
    and exists (select 1 from public.tags g where g.id = tag_id)
  );
