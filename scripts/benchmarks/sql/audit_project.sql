-- A project of an organization with members: the tables of both, and as many more as `audit.tables` says, each with four
-- policies, in chains of three; `audit.functions` of the tables have a function that requests can call.
create type public.member_role as enum ('owner', 'admin', 'member');

create table public.orgs (
  id uuid primary key default gen_random_uuid(),
  name text not null
);

create table public.members (
  org_id uuid references public.orgs on delete cascade,
  user_id uuid references auth.users on delete cascade,
  role public.member_role not null default 'member',
  primary key (org_id, user_id)
);

create function public.is_member(org uuid) returns boolean
language sql stable security definer set search_path = ''
as $$
  select exists (select 1 from public.members as m where m.org_id = org and m.user_id = auth.uid())
$$;

alter table public.orgs enable row level security;
alter table public.members enable row level security;

create policy "members read" on public.orgs for select to authenticated using (public.is_member(id));
create policy "members read" on public.members for select to authenticated using (public.is_member(org_id));

do $$
declare
  number integer;
begin
  for number in 1 .. current_setting('audit.tables')::integer - 2 loop
    execute format(
      'create table public.%1$I (
         id bigint generated always as identity primary key,
         org_id uuid not null references public.orgs on delete cascade,
         %2$s
         author_id uuid not null default auth.uid() references auth.users on delete cascade,
         title text not null,
         body text,
         status text not null default ''draft'' check (status in (''draft'', ''done'')),
         position integer,
         created_at timestamptz not null default now()
       )',
      'items_' || number,
      case
        when number % 3 = 1 then ''
        else format('parent_id bigint references public.%I on delete cascade,', 'items_' || number - 1)
      end
    );
    execute format('alter table public.%I enable row level security', 'items_' || number);
    execute format(
      'create policy "members read" on public.%I for select to authenticated using (public.is_member(org_id))',
      'items_' || number
    );
    execute format(
      'create policy "members add" on public.%I for insert to authenticated
         with check (public.is_member(org_id) and author_id = auth.uid())',
      'items_' || number
    );
    execute format(
      'create policy "authors change" on public.%I for update to authenticated
         using (author_id = auth.uid()) with check (author_id = auth.uid() and public.is_member(org_id))',
      'items_' || number
    );
    execute format(
      'create policy "authors delete" on public.%I for delete to authenticated using (author_id = auth.uid())',
      'items_' || number
    );
    continue when number > current_setting('audit.functions')::integer;
    execute format(
      'create function public.%1$I(p_org_id uuid) returns setof public.%2$I language sql stable
       as ''select * from public.%2$I where org_id = p_org_id''',
      'list_' || number, 'items_' || number
    );
  end loop;
end
$$;
