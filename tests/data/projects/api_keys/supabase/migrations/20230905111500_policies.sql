alter table projects enable row level security;
alter table api_keys enable row level security;
alter table feature_flags enable row level security;
alter table events enable row level security;
alter table events_2023 enable row level security;
alter table events_rest enable row level security;

create policy projects_owner on projects for all to authenticated
  using (owner_id = auth.uid()) with check (owner_id = auth.uid());

create policy keys_owner on api_keys for all to authenticated
  using (exists (select 1 from projects where id = project_id and owner_id = auth.uid()))
  with check (exists (select 1 from projects where id = project_id and owner_id = auth.uid()));

create policy flags_owner on feature_flags for all to authenticated
  using (exists (select 1 from projects where id = project_id and owner_id = auth.uid()))
  with check (exists (select 1 from projects where id = project_id and owner_id = auth.uid()));
create policy flags_with_key on feature_flags for select to anon using (project_id = private.project_of_key());

create policy events_owner on events for select to authenticated
  using (project_id in (select id from projects where owner_id = auth.uid()));
create policy events_with_key on events for insert to anon with check (project_id = private.project_of_key());
