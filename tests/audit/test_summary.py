"""The matrix in short: who may do something with the rows of a table."""

from supabase_jobs.database.connection import connect
from tests.audit.conftest import run_audit

# anyone signed in likes a venue, its staff write notes, and each in their own name
VENUES = """
create table public.venues (
  id uuid primary key default gen_random_uuid(), created_by uuid not null references auth.users
);
create table public.staff (
  venue_id uuid references public.venues, user_id uuid references auth.users,
  primary key (venue_id, user_id)
);
create table public.likes (
  venue_id uuid not null references public.venues,
  user_id uuid not null references auth.users,
  primary key (venue_id, user_id)
);
create table public.notes (
  id uuid primary key default gen_random_uuid(),
  venue_id uuid not null references public.venues,
  author_id uuid not null references auth.users
);
alter table public.venues enable row level security;
alter table public.staff enable row level security;
alter table public.likes enable row level security;
alter table public.notes enable row level security;
create function public.works_at(venue uuid) returns boolean language sql stable security definer
set search_path = '' as $$
  select exists (select from public.staff where venue_id = venue and user_id = auth.uid())
$$;
create policy own on public.staff for select to authenticated using (user_id = auth.uid());
create policy own on public.likes to authenticated
using (user_id = auth.uid()) with check (user_id = auth.uid());
create policy own on public.notes to authenticated using (author_id = auth.uid())
with check (author_id = auth.uid() and public.works_at(venue_id));
"""


def test_rows_in_ones_own_name_are_those_of_a_group_if_it_decides(platform_url: str) -> None:
    with connect(platform_url) as connection:
        connection.execute(VENUES.encode())
        summaries = run_audit(connection, repairs=False).summaries
    found = {summary.object.label: summary.access["insert"] for summary in summaries}
    assert (found["public.likes"], found["public.notes"]) == ("own", "group")
