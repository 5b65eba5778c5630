create or replace function has_subscription() returns boolean language sql stable security definer set search_path = public as $$
  select exists (
    select 1 from subscriptions where user_id = auth.uid() and status in ('trialing', 'active')
  )
$$;

create table courses (
  id uuid primary key default gen_random_uuid(),
  title text not null,
  video_path text not null,
  free boolean not null default false
);
alter table courses enable row level security;
create policy "Free courses" on courses for select using (free);
create policy "Subscribers see all courses" on courses for select to authenticated using (has_subscription());

create table progress (
  user_id uuid not null default auth.uid() references users (id) on delete cascade,
  course_id uuid not null references courses (id) on delete cascade,
  seconds integer not null default 0,
  primary key (user_id, course_id)
);
alter table progress enable row level security;
create policy "Own progress" on progress for all to authenticated using (user_id = auth.uid()) with check (user_id = auth.uid());
