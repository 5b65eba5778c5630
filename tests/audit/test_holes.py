"""Small projects with one hole each, as teams write them: the hole is reported, and the project
without it is not.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from supabase_jobs.audit.baseline import Baseline, apply
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Audit, Severity
from tests.audit.conftest import run_audit
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR


@dataclass(frozen=True)
class Hole:
    """A project, and the text that opens it. `baseline`, `alone`: the id of the error with a
    baseline, and without.
    """

    sql: str
    old: str
    new: str
    baseline: str
    alone: str = ""


_ORDERS = """
create table listings (id uuid primary key default gen_random_uuid(), seller_id uuid not null references auth.users,
  status text not null default 'draft' check (status in ('draft', 'active', 'sold')));
alter table listings enable row level security;
create policy shop on listings for select using (status = 'active' or status = 'sold');
create table orders (id uuid primary key default gen_random_uuid(), buyer_id uuid not null references auth.users,
  listing_id uuid not null unique references listings,
  seller_id uuid not null references auth.users, total_cents bigint not null, tracking_number text,
  status text not null default 'open' check (status in ('open', 'held', 'released')), check (buyer_id <> seller_id));
alter table orders enable row level security;
create policy sides on orders for select to authenticated using (auth.uid() in (buyer_id, seller_id));
"""

HOLES = {
    "a second column of a grant": Hole(
        """
create table notes (id uuid primary key default gen_random_uuid(), owner_id uuid not null references auth.users,
  pinned boolean not null default false, body text);
alter table notes enable row level security;
create policy own on notes for select to authenticated using (owner_id = auth.uid());
create policy edit on notes for update to authenticated using (owner_id = auth.uid());
revoke update on notes from anon, authenticated;
grant update (body) on notes to authenticated;
""",
        "grant update (body) on",
        "grant update (body, pinned) on",
        "public.notes:owner:update(pinned)",
    ),
    "columns that the other side of a row may update": Hole(
        """
create table messages (id uuid primary key default gen_random_uuid(), sender_id uuid not null references auth.users,
  recipient_id uuid not null references auth.users, body text not null, read_at timestamptz);
alter table messages enable row level security;
create policy sides on messages for select to authenticated using (auth.uid() in (sender_id, recipient_id));
create policy mark_read on messages for update to authenticated using (recipient_id = auth.uid());
revoke update on messages from anon, authenticated;
grant update (read_at) on messages to authenticated;
""",
        "grant update (read_at) on",
        "grant update on",
        "public.messages (sender_id of another):owner:update",
    ),
    "columns that one side may update in one state": Hole(
        f"""{_ORDERS}
create policy ships on orders for update to authenticated using (seller_id = auth.uid() and status = 'held');
revoke update on orders from anon, authenticated;
grant update (tracking_number) on orders to authenticated;
""",
        "grant update (tracking_number) on",
        "grant update on",
        "public.orders (status = held):owner:update",
    ),
    "rows that the wrong side adds": Hole(
        f"""{_ORDERS}
create table reviews (order_id uuid primary key references orders, author_id uuid not null references auth.users,
  rating smallint not null check (rating between 1 and 5));
alter table reviews enable row level security;
create policy buyers on reviews for insert to authenticated with check (author_id = auth.uid() and exists (
  select from orders o where o.id = order_id and o.buyer_id = auth.uid() and o.status = 'released'));
""",
        "o.buyer_id = auth.uid() and ",
        "",
        "public.reviews (orders: status = released):owner:insert",
    ),
    "a state in which rows may be inserted": Hole(
        """
create table leave_requests (id uuid primary key default gen_random_uuid(), user_id uuid not null references auth.users,
  status text not null default 'pending' check (status in ('pending', 'approved')));
alter table leave_requests enable row level security;
create policy own on leave_requests for select to authenticated using (user_id = auth.uid());
create policy ask on leave_requests for insert to authenticated
  with check (user_id = auth.uid() and status = 'pending');
""",
        " and status = 'pending'",
        "",
        "public.leave_requests (status = approved):owner:insert",
    ),
    "an unpaid ticket": Hole(
        """
create table profiles (id uuid primary key references auth.users);
alter table profiles enable row level security;
create policy own on profiles to authenticated using (id = auth.uid());
create table events (id uuid primary key default gen_random_uuid(), host_id uuid not null references profiles);
create table tickets (id uuid primary key default gen_random_uuid(), event_id uuid not null references events,
  holder_id uuid not null references profiles,
  status text not null default 'pending' check (status in ('pending', 'paid')));
create table streams (id uuid primary key default gen_random_uuid(), event_id uuid not null references events);
create function hosts(event uuid) returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select from public.events e where e.id = event and e.host_id = auth.uid()) $$;
create function has_ticket(event uuid) returns boolean language sql stable security definer set search_path = '' as $$
  select exists (
    select from public.tickets t where t.event_id = event and t.holder_id = auth.uid() and t.status = 'paid') $$;
alter table events enable row level security;
alter table tickets enable row level security;
alter table streams enable row level security;
create policy own on events to authenticated using (host_id = auth.uid());
create policy own on tickets for select to authenticated using (holder_id = auth.uid());
create policy host on streams to authenticated using (hosts(event_id));
create policy attendees on streams for select to authenticated using (has_ticket(event_id));
""",
        " and t.status = 'paid'",
        "",
        "public.streams:holder_id of tickets:read",
    ),
    "deleted rows of a second state": Hole(
        """
create table listings (id uuid primary key default gen_random_uuid(), seller_id uuid not null references auth.users,
  status text not null default 'draft' check (status in ('draft', 'active', 'sold')), deleted_at timestamptz);
alter table listings enable row level security;
create policy shop on listings for select using (deleted_at is null and (status = 'active' or status = 'sold'));
""",
        "(deleted_at is null and (status = 'active' or status = 'sold'))",
        "(deleted_at is null and status = 'active' or status = 'sold')",
        "public.listings (status = sold, deleted_at is set):anon:read",
    ),
    "a time in the future": Hole(
        """
create table posts (id uuid primary key default gen_random_uuid(), author_id uuid not null references auth.users,
  status text not null default 'draft' check (status in ('draft', 'published')),
  publish_at timestamptz not null default now());
alter table posts enable row level security;
create policy feed on posts for select using (status = 'published' and publish_at <= now());
""",
        " and publish_at <= now()",
        "",
        "public.posts (status = published, publish_at is in the future):anon:read",
    ),
    "an owner by e-mail": Hole(
        """
create table invites (id uuid primary key default gen_random_uuid(), email text not null,
  role text not null default 'member' check (role in ('member', 'admin')), accepted_at timestamptz);
alter table invites enable row level security;
create policy invited on invites for select to authenticated using (email = (auth.jwt() ->> 'email'));
create policy accept on invites for update to authenticated using (email = (auth.jwt() ->> 'email'));
revoke update on invites from anon, authenticated;
grant update (accepted_at) on invites to authenticated;
""",
        "grant update (accepted_at) on",
        "grant update on",
        "public.invites:owner:update",
    ),
    "a row that nobody is assigned to": Hole(
        """
create table leads (id uuid primary key default gen_random_uuid(), assigned_to uuid references auth.users,
  code text not null check (code = upper(code)));
alter table leads enable row level security;
create policy mine on leads for select to authenticated using (assigned_to = auth.uid());
""",
        "(assigned_to = auth.uid())",
        "(assigned_to = auth.uid() or assigned_to is null)",
        "new:public.leads (assigned_to is null)",
    ),
    "a function that changes rows without a value": Hole(
        """
create table jobs (id uuid primary key default gen_random_uuid(), owner_id uuid not null references auth.users,
  accepted_at timestamptz);
alter table jobs enable row level security;
create policy own on jobs for select to authenticated using (owner_id = auth.uid());
create function accept_job(job uuid) returns void language sql security definer set search_path = '' as $$
  update public.jobs j set accepted_at = now()
  where j.id = job and j.accepted_at is null and j.owner_id = auth.uid() $$;
""",
        " and j.owner_id = auth.uid()",
        "",
        "",
        "function-writes:public.accept_job(uuid)",
    ),
    "a function that reads rows in one state": Hole(
        """
create table docs (id uuid primary key default gen_random_uuid(), owner_id uuid not null references auth.users,
  body text not null, status text not null default 'draft' check (status in ('draft', 'final')));
alter table docs enable row level security;
create policy mine on docs for select to authenticated using (owner_id = auth.uid());
create function get_doc(doc uuid) returns text language sql stable security definer set search_path = '' as $$
  select body from public.docs d where d.id = doc and d.status = 'final' and d.owner_id = auth.uid() $$;
""",
        " and d.owner_id = auth.uid()",
        "",
        "",
        "function-reads:public.get_doc(uuid)",
    ),
    "a function that looks rows up by a name": Hole(
        """
create table rooms (id uuid primary key default gen_random_uuid(), owner_id uuid not null references auth.users,
  label text not null unique, body text not null);
alter table rooms enable row level security;
create policy own on rooms for select to authenticated using (owner_id = auth.uid());
create function get_room(p_label text) returns text language sql stable security definer set search_path = '' as $$
  select body from public.rooms r where r.label = p_label and r.owner_id = auth.uid() $$;
""",
        " and r.owner_id = auth.uid()",
        "",
        "",
        "function-reads:public.get_room(text)",
    ),
    "a state that only the shop may set": Hole(
        """
create table orders (id uuid primary key default gen_random_uuid(), customer_id uuid not null references auth.users,
  state text not null default 'placed' check (state in ('placed', 'paid', 'cancelled', 'lost')));
alter table orders enable row level security;
create policy own on orders for select to authenticated using (customer_id = auth.uid());
create policy place on orders for insert to authenticated with check (customer_id = auth.uid() and state = 'placed');
create policy cancel on orders for update to authenticated
  using (customer_id = auth.uid() and state = 'placed') with check (customer_id = auth.uid() and state = 'cancelled');
revoke update on orders from anon, authenticated;
grant update (state) on orders to authenticated;
""",
        "and state = 'cancelled')",
        "and state in ('cancelled', 'paid'))",
        "public.orders:owner:update(state=paid)",
    ),
    "a table of doctors that anyone joins": Hole(
        """
create table doctors (user_id uuid primary key references auth.users, specialty text not null);
create table cases (id uuid primary key default gen_random_uuid(), patient_id uuid not null references auth.users);
alter table doctors enable row level security;
alter table cases enable row level security;
create function is_doctor() returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select from public.doctors d where d.user_id = auth.uid()) $$;
create policy own on cases to authenticated using (patient_id = auth.uid());
create policy doctor on cases for select to authenticated using (is_doctor());
create policy colleagues on doctors for select to authenticated using (is_doctor());
""",
        "create policy colleagues on doctors for select to authenticated using (is_doctor());",
        "create policy colleagues on doctors to authenticated using (true) with check (user_id ="
        " auth.uid());",
        "",
        "escalation:public.doctors:insert",
    ),
    "a row that lifts a ban": Hole(
        """
create table blocks (blocker_id uuid not null references auth.users, blocked_id uuid not null references auth.users,
  primary key (blocker_id, blocked_id), check (blocker_id <> blocked_id));
create table posts (id uuid primary key default gen_random_uuid(), author_id uuid not null references auth.users);
create function blocked(other uuid) returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select from public.blocks b where b.blocker_id = other and b.blocked_id = auth.uid()
    or b.blocker_id = auth.uid() and b.blocked_id = other) $$;
alter table blocks enable row level security;
alter table posts enable row level security;
create policy own on blocks to authenticated using (blocker_id = auth.uid());
create policy feed on posts for select to authenticated using (not blocked(author_id));
""",
        "create policy own on blocks to authenticated using (blocker_id = auth.uid());",
        "create policy lift on blocks for delete to authenticated using (blocker_id = auth.uid());"
        "create policy seen on blocks for select to authenticated using (blocker_id = auth.uid());",
        "",
        "escalation:public.blocks:delete",
    ),
}


@pytest.fixture(scope="module")
def platform(request: pytest.FixtureRequest) -> str:
    """The URL of a database with the platform only."""
    return session_copy(request, "holes", "platform", DEFAULT_MAJOR).url


@pytest.fixture
def connection(platform: str) -> Iterator[Connection]:
    """A transaction on it; undone after the test."""
    with connect(platform) as connection, connection.transaction(force_rollback=True):
        yield connection


@pytest.fixture
def correct(connection: Connection, hole: Hole) -> Audit:
    """The audit of the project without the hole, which is undone."""
    with connection.transaction(force_rollback=True):
        connection.execute(hole.sql.encode())
        return run_audit(connection, repairs=False)


@pytest.mark.parametrize("hole", HOLES.values(), ids=HOLES)
def test_hole_is_reported(connection: Connection, correct: Audit, hole: Hole) -> None:
    assert correct.not_tested == ()
    assert [f.id for f in correct.findings if f.severity.is_problem] == []
    assert hole.sql.count(hole.old) == 1
    connection.execute(hole.sql.replace(hole.old, hole.new).encode())
    found = run_audit(connection, correct.access, repairs=False)
    if hole.alone:
        assert hole.alone in {f.id for f in found.findings if f.severity is Severity.ERROR}
    if hole.baseline:
        compared = apply(
            found, Baseline(correct.access, correct.functions), strict=False, narrowed=False
        )
        wider = {f.id for f in compared.findings if f.severity is Severity.ERROR}
        named = hole.baseline if hole.baseline.startswith("new:") else f"{hole.baseline}:wider"
        assert f"baseline:{named}" in wider
