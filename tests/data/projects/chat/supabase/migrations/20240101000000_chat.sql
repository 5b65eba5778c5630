create table public.users (
  id uuid primary key references auth.users (id) on delete cascade,
  display_name text not null default '',
  last_seen_at timestamptz
);

create table public.conversations (
  id uuid primary key default gen_random_uuid(),
  user_low uuid not null references public.users (id),
  user_high uuid not null references public.users (id),
  created_at timestamptz not null default now(),
  constraint two_people check (user_low < user_high),
  unique (user_low, user_high)
);

create table public.messages (
  id bigint generated always as identity primary key,
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  sender_id uuid not null references public.users (id),
  body text not null check (char_length(body) <= 4000),
  read_at timestamptz,
  sent_at timestamptz not null default now()
);

create table public.blocks (
  blocker_id uuid not null references public.users (id) on delete cascade,
  blocked_id uuid not null references public.users (id) on delete cascade,
  reason text,
  primary key (blocker_id, blocked_id),
  constraint not_oneself check (blocker_id <> blocked_id)
);

alter table public.users enable row level security;
alter table public.conversations enable row level security;
alter table public.messages enable row level security;
alter table public.blocks enable row level security;

create policy "users: read" on public.users for select to authenticated using (true);
create policy "users: insert own" on public.users for insert to authenticated with check (id = auth.uid());
create policy "users: update own" on public.users for update to authenticated
  using (id = auth.uid()) with check (id = auth.uid());

create policy "conversations: of the two" on public.conversations for select to authenticated
  using (auth.uid() in (user_low, user_high));
create policy "conversations: start" on public.conversations for insert to authenticated
  with check (auth.uid() in (user_low, user_high));

create policy "messages: read" on public.messages for select to authenticated
  using (exists (
    select 1 from public.conversations c
    where c.id = conversation_id and auth.uid() in (c.user_low, c.user_high)
  ));
create policy "messages: send" on public.messages for insert to authenticated
  with check (sender_id = auth.uid() and exists (
    select 1 from public.conversations c
    where c.id = conversation_id and auth.uid() in (c.user_low, c.user_high)
  ));
create policy "messages: edit own" on public.messages for update to authenticated
  using (sender_id = auth.uid())
  with check (sender_id = auth.uid() and exists (
    select 1 from public.conversations c
    where c.id = conversation_id and auth.uid() in (c.user_low, c.user_high)
  ));

create policy "blocks: own" on public.blocks for all to authenticated
  using (blocker_id = auth.uid()) with check (blocker_id = auth.uid());
