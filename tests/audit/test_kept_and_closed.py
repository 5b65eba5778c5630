"""Repairs that are proven by trying everybody who may come by their way: who signs up, who has a
role in a group of their own, and who a trigger lets pass.
"""

import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.findings import AuditFinding
from tests.audit.conftest import run_audit
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

# everybody who founds a firm is its boss; a volatile function sees the row as it becomes
FIRMS = """
create table firms (id uuid primary key default gen_random_uuid(), name text not null);
create table people (
  id uuid primary key references auth.users, firm uuid references firms, name text,
  role text not null default 'helper' check (role in ('boss', 'helper'))
);
create table invoices (
  id uuid primary key default gen_random_uuid(), firm uuid not null references firms, text text
);
create function my_firm() returns uuid language sql security definer set search_path = '' as
  $$ select firm from public.people where id = auth.uid() $$;
create function is_boss() returns boolean language sql stable security definer set search_path = '' as
  $$ select exists (select from public.people where id = auth.uid() and role = 'boss') $$;
alter table firms enable row level security;
alter table people enable row level security;
alter table invoices enable row level security;
create policy "own" on firms for select to authenticated using (id = my_firm());
create policy "colleagues" on people for select to authenticated using (id = auth.uid() or firm = my_firm());
create policy "own" on people for update to authenticated using (id = auth.uid());
create policy "bosses" on people for update to authenticated using (firm = my_firm() and is_boss());
create policy "read" on invoices for select to authenticated using (firm = my_firm());
"""
# the app inserts the profile of who has signed up
PROFILES = """
create table profiles (
  id uuid primary key references auth.users, name text,
  role text not null check (role in ('customer', 'worker', 'admin'))
);
create table reports (id uuid primary key default gen_random_uuid(), text text);
create function is_admin() returns boolean language sql stable security definer set search_path = '' as
  $$ select exists (select from public.profiles where id = auth.uid() and role = 'admin') $$;
alter table profiles enable row level security;
alter table reports enable row level security;
create policy "read" on profiles for select to authenticated using (id = auth.uid());
create policy "sign up" on profiles for insert to authenticated with check (id = auth.uid());
create policy "admins" on reports for all to authenticated using (is_admin());
"""
# the helper finds its table by the search_path of the request
CIRCLES = """
create table circles (id uuid primary key default gen_random_uuid(), host uuid not null references auth.users);
create table notes (
  id uuid primary key default gen_random_uuid(), circle uuid not null references circles,
  author uuid not null references auth.users, text text
);
create function may_enter(circle_id uuid) returns boolean language sql stable security definer as
  $$ select exists (select from circles where id = circle_id and host = auth.uid()) $$;
alter table circles enable row level security;
alter table notes enable row level security;
create policy "own" on circles for select to authenticated using (host = auth.uid());
create policy "own" on notes for select to authenticated using (author = auth.uid());
create policy "write" on notes for insert to authenticated with check (author = auth.uid() and may_enter(circle));
create policy "change" on notes for update to authenticated using (author = auth.uid());
"""
# who receives a message marks it as read
MESSAGES = """
create table errands (
  id uuid primary key default gen_random_uuid(), customer uuid not null references auth.users,
  worker uuid references auth.users
);
create table messages (
  id uuid primary key default gen_random_uuid(), errand uuid not null references errands,
  sender uuid not null references auth.users, content text not null, seen boolean not null default false
);
create function takes_part(errand_id uuid) returns boolean language sql stable security definer set search_path = '' as
  $$ select exists (select from public.errands where id = errand_id and auth.uid() in (customer, worker)) $$;
alter table errands enable row level security;
alter table messages enable row level security;
create policy "both" on errands for select to authenticated using (auth.uid() in (customer, worker));
create policy "both" on messages for select to authenticated using (takes_part(errand));
create policy "send" on messages for insert to authenticated with check (sender = auth.uid() and takes_part(errand));
create policy "seen" on messages for update to authenticated using (takes_part(errand));
"""

# anybody checks whether a report with this number is by this laboratory
REPORTS = """
create table labs (id uuid primary key default gen_random_uuid(), owner uuid not null references auth.users);
create table reports (
  id uuid primary key default gen_random_uuid(), lab uuid not null references labs, number text not null
);
alter table labs enable row level security;
alter table reports enable row level security;
create policy "own" on labs to authenticated using (owner = auth.uid());
create policy "own" on reports to authenticated
  using (exists (select from labs l where l.id = lab and l.owner = auth.uid()));
create function is_genuine(of_lab uuid) returns boolean language sql stable security definer set search_path = '' as
  $$ select exists (select from public.reports where lab = of_lab) $$;
"""
# whoever owns a kitchen takes dishes off the menu, also those of another owner
KITCHENS = """
create table kitchens (id uuid primary key default gen_random_uuid(), name text not null);
create table cooks (
  kitchen uuid not null references kitchens, person uuid not null references auth.users,
  role text not null check (role in ('owner', 'helper')), primary key (kitchen, person)
);
create table dishes (
  id uuid primary key default gen_random_uuid(), kitchen uuid not null references kitchens,
  author uuid not null references auth.users
);
create function cooks_in(of_kitchen uuid) returns boolean language sql stable security definer set search_path = '' as
  $$ select exists (select from public.cooks where kitchen = of_kitchen and person = auth.uid()) $$;
alter table kitchens enable row level security;
alter table cooks enable row level security;
alter table dishes enable row level security;
create policy "own" on cooks for select to authenticated using (person = auth.uid());
create policy "team" on dishes for select to authenticated using (cooks_in(kitchen));
create policy "owners" on dishes for delete to authenticated using (
  cooks_in(kitchen) and exists (select from cooks c where c.person = auth.uid() and c.role = 'owner'));
"""
# admins give those below them any role, owners everybody; and everybody changes the own row
CREWS = """
create table crews (id uuid primary key default gen_random_uuid(), name text not null);
create table crew_members (
  crew uuid not null references crews, person uuid not null references auth.users,
  role text not null check (role in ('owner', 'admin', 'member')), title text, primary key (crew, person)
);
create function role_in(crew uuid) returns text language sql stable security definer set search_path = public as
  $$ select m.role from crew_members m where m.crew = $1 and m.person = auth.uid() $$;
alter table crews enable row level security;
alter table crew_members enable row level security;
create policy "crew" on crews for select to authenticated using (role_in(id) is not null);
create policy "crew" on crew_members for select to authenticated using (role_in(crew) is not null);
create policy "own row" on crew_members for update to authenticated using (person = auth.uid());
create policy "below admins" on crew_members for update to authenticated
  using (role_in(crew) = 'admin' and role <> 'owner') with check (role_in(crew) is not null);
create policy "owners" on crew_members for update to authenticated using (role_in(crew) = 'owner');
"""
# the rate of an hour is set by a trigger, and a new hour is not billed; whoever adds one changes both
HOURS = """
create table hours (
  id uuid primary key default gen_random_uuid(), person uuid not null default auth.uid() references auth.users,
  minutes integer not null default 1, rate_cents integer, billed boolean not null default false
);
create function set_rate() returns trigger language plpgsql set search_path = '' as
  $$ begin new.rate_cents := 9000; return new; end $$;
create trigger set_rate before insert on hours for each row execute function set_rate();
alter table hours enable row level security;
create policy "read" on hours for select to authenticated using (person = auth.uid());
create policy "add" on hours for insert to authenticated with check (person = auth.uid() and billed = false);
create policy "change" on hours for update to authenticated using (person = auth.uid());
"""
# passers-by see the bakeries that are open, and how to reach them
BAKERIES = """
create table bakeries (
  id uuid primary key default gen_random_uuid(), baker uuid not null references auth.users, email text,
  is_open boolean not null default true
);
create table cakes (
  id uuid primary key default gen_random_uuid(), bakery uuid not null references bakeries, orders_email text,
  is_shown boolean not null default false
);
alter table bakeries enable row level security;
alter table cakes enable row level security;
create policy "own" on bakeries to authenticated using (baker = auth.uid());
create policy "own" on cakes to authenticated
  using (exists (select 1 from bakeries b where b.id = bakery and b.baker = auth.uid()));
create policy "passers-by" on cakes for select to anon using (is_shown);
"""
# the last player who leaves ends the band, which no policy lets anybody delete
BANDS = """
create table bands (id uuid primary key default gen_random_uuid(), name text not null);
create table players (
  band uuid not null references bands, person uuid not null references auth.users, primary key (band, person)
);
create function plays_in(of_band uuid) returns boolean language sql stable security definer set search_path = '' as
  $$ select exists (select from public.players where band = of_band and person = auth.uid()) $$;
alter table bands enable row level security;
alter table players enable row level security;
create policy "players" on bands for select to authenticated using (plays_in(id));
create policy "all" on players for select to authenticated using (true);
create policy "leave" on players for delete to authenticated using (person = auth.uid());
create function leave(of_band uuid) returns boolean language plpgsql security definer set search_path = '' as $$
begin
  delete from public.players where band = of_band and person = auth.uid();
  if not exists (select from public.players where band = of_band) then
    delete from public.bands where id = of_band;
    return true;
  end if;
  return false;
end $$;
"""
# the backend needs no policy
PAYMENTS = """
create table bookings (id uuid primary key default gen_random_uuid(), guest uuid not null references auth.users);
create table payments (
  id uuid primary key default gen_random_uuid(), booking uuid not null references bookings,
  amount_cents int not null default 0, state text not null default 'open'
);
alter table bookings enable row level security;
alter table payments enable row level security;
create policy "own" on bookings to authenticated using (guest = auth.uid());
create policy "own" on payments for select to authenticated
  using (exists (select from bookings b where b.id = booking and b.guest = auth.uid()));
create policy "{name}" on payments for all using (true) with check (true);
"""

# one office: who added a client, and nothing says that the client is theirs
OFFICE = """
create table clients (
  id uuid primary key default gen_random_uuid(), added_by uuid not null references auth.users, name text
);
alter table clients enable row level security;
create policy "read" on clients for select to authenticated using (true);
create policy "add" on clients for insert to authenticated with check (true);
create policy "remove" on clients for delete to authenticated using (true);
"""


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    return session_copy(request, "kept_and_closed", "services", DEFAULT_MAJOR).url


def findings(url: str, project: str) -> dict[str, AuditFinding]:
    with connect(url) as connection, connection.transaction(force_rollback=True):
        connection.execute(project.encode())
        return {one.id: one for one in run_audit(connection).findings}


def test_row_moves_to_no_group_by_a_role_in_the_own_one(url: str) -> None:
    moved = findings(url, FIRMS)["escalation:public.people:update:firm"]
    assert "is_boss()" not in moved.fix


def test_who_has_not_joined_a_group_keeps_the_own_row(url: str) -> None:
    moved = findings(url, FIRMS)["escalation:public.people:update:firm"]
    assert not moved.proven
    assert "while firm of public.people is null" in moved.fix.replace("\n-- ", " ")


def test_who_signs_up_still_adds_the_own_row(url: str) -> None:
    found = findings(url, PROFILES)
    for name in ("escalation:public.profiles:insert", "escalation:public.profiles:insert:role"):
        assert found[name].proven
        assert "\"role\" is distinct from 'admin'" in found[name].fix


def test_trigger_finds_what_its_condition_calls(url: str) -> None:
    moved = findings(url, CIRCLES)["unreadable-parent:public.notes:update"]
    assert moved.proven
    assert "set search_path = public, extensions" in moved.fix


def test_column_of_the_author_that_stays_open_is_a_question(url: str) -> None:
    given = findings(url, MESSAGES)["give-away:public.messages:update:sender"]
    assert not given.proven
    assert "still writes content" in given.fix


@pytest.mark.parametrize(
    ("name", "is_dropped"), [("Service role manages payments", True), ("anything", False)]
)
def test_policy_for_the_backend_is_dropped(url: str, name: str, is_dropped: bool) -> None:
    found = findings(url, PAYMENTS.format(name=name))
    problems = [one for one in found.values() if one.severity.is_problem]
    assert problems
    dropped = [one for one in problems if "drop policy" in one.fix and one.proven]
    assert (dropped == problems) == is_dropped


def test_answer_that_only_guests_lose_is_a_question(url: str) -> None:
    checked = findings(url, REPORTS)["function-exists:public.is_genuine(uuid)"]
    assert not checked.proven
    assert "nobody is left with: a yes of public.is_genuine(uuid) as anon" in checked.fix


def test_rows_that_no_call_was_seen_to_delete_are_a_question(url: str) -> None:
    left = findings(url, BANDS)["function-exists:public.leave(uuid)"]
    assert not left.proven
    assert "public.bands by public.leave(uuid)" in left.fix.replace("\n-- ", " ")


def test_colleagues_with_a_role_keep_the_rows_of_each_other(url: str) -> None:
    deleted = findings(url, KITCHENS)["two-groups:public.dishes:delete"]
    assert not deleted.proven
    assert "delete of rows of a colleague" in deleted.fix.replace("\n-- ", " ")


def test_visitors_whom_a_policy_names_lose_nothing_by_a_proven_repair(url: str) -> None:
    shown = findings(url, BAKERIES)["public:public.cakes (is_shown = true):select"]
    assert not shown.proven
    assert "anon: select of rows of others" in shown.fix.replace("\n-- ", " ")


def test_admin_who_makes_owners_passes_no_guard(url: str) -> None:
    found = findings(url, CREWS)
    raised = found["escalation:public.crew_members:update:role"]
    assert not raised.proven
    assert "owner: update role of rows of the group" in raised.fix.replace("\n-- ", " ")
    assert "group-write:public.crew_members:below admins:role-after" in found


def test_column_that_a_grant_keeps_is_not_closed(url: str) -> None:
    billed = findings(url, HOURS)["untested-column:public.hours:update"]
    grant = billed.fix.partition("grant update")[2]
    assert grant
    assert "billed" not in grant


@pytest.mark.parametrize("is_theirs", [False, True])
def test_rows_of_a_person_whom_no_policy_asks_about_are_a_question(
    url: str, is_theirs: bool
) -> None:
    own = 'alter policy "add" on clients with check (added_by = auth.uid());' if is_theirs else ""
    found = findings(url, OFFICE + own)["write:public.clients:delete"]
    assert found.proven is is_theirs
    assert ("the person in added_by" in found.fix.replace("\n-- ", " ")) is not is_theirs
