create type app_permission as enum ('articles.publish', 'articles.delete', 'comments.moderate', 'users.manage');
create type article_status as enum ('draft', 'in_review', 'published');

create table roles (
  id smallint primary key,
  name text unique not null
);
insert into roles values (1, 'reader'), (2, 'author'), (3, 'editor'), (4, 'administrator');

create table role_permissions (
  role_id smallint not null references roles,
  permission app_permission not null,
  primary key (role_id, permission)
);
insert into role_permissions
values (3, 'articles.publish'), (3, 'comments.moderate'), (4, 'articles.publish'), (4, 'articles.delete'),
       (4, 'comments.moderate'), (4, 'users.manage');

create table user_roles (
  user_id uuid not null references auth.users on delete cascade,
  role_id smallint not null references roles,
  granted_by uuid references auth.users on delete set null,
  granted_at timestamptz not null default now(),
  primary key (user_id, role_id)
);

create function authorize(requested app_permission) returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return exists (
    select 1 from public.user_roles ur join public.role_permissions rp using (role_id)
    where ur.user_id = (select auth.uid()) and rp.permission = requested
  );
end $$;

alter table roles enable row level security;
alter table role_permissions enable row level security;
alter table user_roles enable row level security;
create policy "roles are listed" on roles for select to authenticated using (true);
create policy "permissions are listed" on role_permissions for select to authenticated using (true);
create policy "own roles" on user_roles for select to authenticated using (user_id = auth.uid());
create policy "managers grant roles" on user_roles for all to authenticated
  using (authorize('users.manage')) with check (authorize('users.manage'));

create function default_role() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.user_roles (user_id, role_id) values (new.id, 1);
  return new;
end $$;
create trigger default_role after insert on auth.users for each row execute function default_role();
