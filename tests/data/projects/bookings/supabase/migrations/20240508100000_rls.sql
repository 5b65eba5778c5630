create function is_member(place uuid) returns boolean language sql stable security definer set search_path = public as $$
  select exists (select 1 from place_members m where m.place_id = place and m.account_id = auth.uid() and m.state = 'member')
$$;
create function hosts(place uuid) returns boolean language sql stable security definer set search_path = public as $$
  select exists (select 1 from places p where p.id = place and p.host_id = auth.uid())
$$;
create function is_staff() returns boolean language sql stable security definer set search_path = public as $$
  select coalesce((select staff from accounts where user_id = auth.uid()), false)
$$;

alter table settings enable row level security;
alter table opening_hours enable row level security;
alter table accounts enable row level security;
alter table places enable row level security;
alter table place_members enable row level security;
alter table bookings enable row level security;
alter table page_views enable row level security;
alter table page_views_2024 enable row level security;
alter table page_views_2025 enable row level security;

create policy "read settings" on settings for select using (true);
create policy "staff changes settings" on settings for update to authenticated using (is_staff()) with check (is_staff());
create policy "read hours" on opening_hours for select using (true);
create policy "staff changes hours" on opening_hours for update to authenticated using (is_staff()) with check (is_staff());

create policy "own account" on accounts for select to authenticated using (user_id = auth.uid());
create policy "edit own account" on accounts for update to authenticated
  using (user_id = auth.uid()) with check (user_id = auth.uid());
revoke update on accounts from anon, authenticated;
grant update (handle, main_place_id, settings) on accounts to authenticated;

create policy "members see places" on places for select to authenticated using (host_id = auth.uid() or is_member(id));
create policy "host places" on places for insert to authenticated with check (host_id = auth.uid());
create policy "hosts edit places" on places for update to authenticated
  using (host_id = auth.uid()) with check (host_id = auth.uid());
create policy "hosts close places" on places for delete to authenticated using (host_id = auth.uid());

create policy "see memberships" on place_members for select to authenticated using (account_id = auth.uid() or hosts(place_id));
create policy "ask to join" on place_members for insert to authenticated
  with check (account_id = auth.uid() and state = 'pending');
create policy "hosts decide" on place_members for update to authenticated using (hosts(place_id)) with check (hosts(place_id));
create policy "leave" on place_members for delete to authenticated using (account_id = auth.uid() or hosts(place_id));

create policy "see bookings" on bookings for select to authenticated using (guest_id = auth.uid() or hosts(place_id));
create policy "book" on bookings for insert to authenticated with check (guest_id = auth.uid() and is_member(place_id));
create policy "cancel" on bookings for delete to authenticated using (guest_id = auth.uid());

create policy "count views" on page_views for insert to authenticated
  with check (viewer_id = auth.uid() and (is_member(place_id) or hosts(place_id)));
create policy "hosts see views" on page_views for select to authenticated using (hosts(place_id));
