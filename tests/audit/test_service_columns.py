"""Columns of one's own rows that the service usually sets, with the evidence, and tables whose
owners set them.
"""

import pytest

from supabase_jobs.database.connection import Connection
from tests.audit.conftest import run_audit
from tests.audit.recorded import in_words

SHOP = """
create table public.products (id bigint primary key, name text not null, price_cents integer not null);
create table public.orders (
  id bigint generated always as identity primary key, user_id uuid not null references auth.users,
  product_id bigint not null references public.products, note text, total_cents integer not null default 0,
  status text not null default 'pending', paid_at timestamptz, due_at timestamptz
);
create table public.bookings (
  id bigint generated always as identity primary key, user_id uuid not null references auth.users,
  seat text, amount integer, checked_in_at timestamptz, due_on date, status text not null default 'open'
);
create table public.assignments (
  id bigint primary key, teacher_id uuid not null references auth.users, title text not null
);
create table public.submissions (
  id bigint generated always as identity primary key, student_id uuid not null references auth.users,
  assignment_id bigint not null references public.assignments, answer text, grade numeric, score numeric
);
create table public.gyms (
  id bigint generated always as identity primary key, owner_id uuid not null references auth.users, name text,
  verified boolean not null default false
);
create table public.gym_members (
  gym_id bigint references public.gyms, user_id uuid references auth.users,
  role text not null check (role in ('owner', 'member')), primary key (gym_id, user_id)
);
create table public.courses (
  id bigint generated always as identity primary key, gym_id bigint not null references public.gyms, price integer
);
create table public.visits (
  id bigint generated always as identity primary key, user_id uuid not null references auth.users,
  course_id bigint not null references public.courses, amount integer, checked_in_at timestamptz
);
create table public.gift_cards (
  id bigint generated always as identity primary key, user_id uuid not null references auth.users, label text,
  balance_cents integer not null default 0
);
create function public.gym_role(gym bigint) returns text language sql stable security definer set search_path = ''
as $$ select m.role from public.gym_members as m where m.gym_id = gym and m.user_id = auth.uid() $$;
create table public.leave_requests (
  id bigint generated always as identity primary key, user_id uuid not null references auth.users,
  reason text, approved_at timestamptz, status text not null default 'open'
);
alter table public.products enable row level security;
alter table public.orders enable row level security;
alter table public.bookings enable row level security;
alter table public.assignments enable row level security;
alter table public.submissions enable row level security;
alter table public.leave_requests enable row level security;
alter table public.gyms enable row level security;
alter table public.gym_members enable row level security;
alter table public.courses enable row level security;
alter table public.visits enable row level security;
alter table public.gift_cards enable row level security;
create policy "own" on public.gyms to authenticated using (owner_id = auth.uid());
create policy "own" on public.gym_members for select to authenticated using (user_id = auth.uid());
create policy "members" on public.courses for select to authenticated using (public.gym_role(gym_id) is not null);
create policy "owners" on public.courses to authenticated using (public.gym_role(gym_id) = 'owner');
create policy "own" on public.visits to authenticated using (user_id = auth.uid());
create policy "read" on public.gift_cards for select to authenticated using (user_id = auth.uid());
create policy "change" on public.gift_cards for update to authenticated using (user_id = auth.uid());
create policy "read" on public.products for select using (true);
create policy "own" on public.orders to authenticated using (user_id = auth.uid());
create policy "read" on public.bookings for select to authenticated using (user_id = auth.uid());
create policy "change" on public.bookings for update to authenticated using (user_id = auth.uid());
create policy "own" on public.assignments to authenticated using (teacher_id = auth.uid());
create policy "own" on public.submissions to authenticated using (student_id = auth.uid());
create policy "own" on public.leave_requests to authenticated using (user_id = auth.uid());
"""

# somebody orders, and names the status that a new order has anyway
ORDERED = """
insert into public.products values (1, 'Pen', 300);
insert into auth.users (id, email) values ('c1000000-0000-4000-8000-000000000001', 'orders@example.org');
select set_config('request.jwt.claims', '{"sub": "c1000000-0000-4000-8000-000000000001"}', true);
set local role authenticated;
insert into public.orders (user_id, product_id, status, paid_at)
values ('c1000000-0000-4000-8000-000000000001', 1, 'pending', null);
reset role;
select set_config('request.jwt.claims', '', true);
"""

# the owner sets every one of these columns
PERSONAL = """
create table public.tasks (
  id bigint generated always as identity primary key, user_id uuid not null references auth.users,
  list_id uuid references public.lists, title text, status text not null default 'open', is_complete boolean,
  price numeric, amount numeric, due_at timestamptz, due_date date, score integer, points integer, paid boolean,
  checked_in_at timestamptz
);
create table public.invoices (
  id bigint generated always as identity primary key, user_id uuid not null references auth.users,
  client text not null, total numeric not null, status text not null default 'draft', due_on date, paid_at timestamptz
);
create table public.offers (
  id bigint generated always as identity primary key, seller_id uuid not null references auth.users,
  title text not null, price numeric not null, status text not null default 'draft'
);
create table public.sales (
  id bigint generated always as identity primary key, user_id uuid not null references auth.users,
  offer_id bigint not null references public.offers, price numeric not null, paid_at timestamptz
);
alter table public.tasks enable row level security;
alter table public.invoices enable row level security;
alter table public.offers enable row level security;
alter table public.sales enable row level security;
create policy "own" on public.tasks to authenticated using (user_id = auth.uid());
create policy "own" on public.invoices to authenticated using (user_id = auth.uid());
create policy "own" on public.offers to authenticated using (seller_id = auth.uid());
create policy "own" on public.sales to authenticated using (user_id = auth.uid());
"""


def found(connection: Connection) -> dict[str, str]:
    result = run_audit(connection, repairs=False)
    of_kind = [f for f in result.findings if f.id.startswith("service-column:")]
    return {f.id.removeprefix("service-column:public."): str(f.severity) for f in of_kind}


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_columns_that_the_service_sets(project: Connection) -> None:
    project.execute(SHOP.encode())
    assert found(project) == {
        "orders:update:total_cents": "error",
        "orders:update:paid_at": "error",
        "orders:update:status": "warning",
        "orders:update:due_at": "warning",
        "bookings:update:amount": "warning",
        "bookings:update:checked_in_at": "warning",
        "bookings:update:due_on": "info",
        "submissions:update:grade": "warning",
        "submissions:update:score": "warning",
        "leave_requests:update:approved_at": "warning",
        "gyms:update:verified": "warning",
        "visits:update:amount": "warning",
        "visits:update:checked_in_at": "warning",
        "gift_cards:update:balance_cents": "warning",
    }
    for _ in range(2):  # what may not be updated should not be chosen for a new row either
        shown = [f for f in run_audit(project).findings if f.id.startswith("service-column:")]
        for fix in dict.fromkeys(f.fix for f in shown):
            project.execute(fix.encode())
    # what others than its owner add to a group may have other values
    left = [f for f in run_audit(project).findings if f.id.startswith("service-column:")]
    chosen = {f.id for f in left if ":insert:" in f.id}
    assert {f.id for f in left} - chosen == {"service-column:public.bookings:update:due_on"}
    assert {f.split(":")[1] for f in chosen} == {
        "public.orders",
        "public.submissions",
        "public.visits",
    }
    assert [f.id for f in left if f.proven] == []
    [total] = [f for f in left if f.id == "service-column:public.orders:insert:total_cents"]
    assert "the default of total_cents, which nothing of the project sets" in total.fix.replace(
        "\n-- ", " "
    )
    # the app adds a row, and may name the default
    project.execute(ORDERED.encode())
    assert in_words(run_audit(project, repairs=False))["public.orders"]["owner"].startswith(
        "read insert update(note"
    )


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_columns_that_the_owner_sets(project: Connection) -> None:
    project.execute(PERSONAL.encode())
    assert found(project) == {}
