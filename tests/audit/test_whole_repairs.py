"""Repairs that take nothing from anybody whom the project names, and leave no other way."""

import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.findings import AuditFinding
from tests.audit.conftest import run_audit
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

# who is asked accepts; who votes may change a vote; guests order by a key in a header, too
CLUB = """
create table clubs (id uuid primary key default gen_random_uuid(), name text not null);
create table people (id uuid primary key references auth.users, name text not null, club uuid references clubs);
create function my_club() returns uuid language sql stable security definer set search_path = '' as
  $$ select club from public.people where id = auth.uid() $$;
create table ties (
  a uuid references people, b uuid references people, accepted boolean not null default false, primary key (a, b)
);
create table meetings (
  id uuid primary key default gen_random_uuid(), club uuid not null references clubs, over boolean not null default false
);
create table motions (
  id uuid primary key default gen_random_uuid(), meeting_id uuid not null references meetings, text text not null
);
create table votes (
  id uuid primary key default gen_random_uuid(), motion_id uuid not null references motions, person uuid not null,
  choice text not null
);
create table fines (
  id uuid primary key default gen_random_uuid(), person uuid not null references people, amount_cents int not null default 0,
  stripe_payment_id text
);
create table orders (
  id uuid primary key default gen_random_uuid(), guest_key text, person uuid references people, email text,
  total_cents int not null default 0, state text not null default 'new', stripe_payment_id text
);
alter table clubs enable row level security;
alter table people enable row level security;
alter table ties enable row level security;
alter table meetings enable row level security;
alter table motions enable row level security;
alter table votes enable row level security;
alter table fines enable row level security;
alter table orders enable row level security;
create policy "all" on people for select using (true);
create policy "sides" on ties for select to authenticated using (auth.uid() in (a, b));
create policy "ask" on ties for insert to authenticated with check (a = auth.uid() and not accepted);
create policy "accept" on ties for update to authenticated using (auth.uid() in (a, b)) with check (auth.uid() in (a, b));
create policy "club" on meetings for select to authenticated using (club = my_club());
create policy "club" on motions for select to authenticated
  using (exists (select from meetings t where t.id = meeting_id));
create policy "vote" on votes for insert to authenticated with check (
  person = auth.uid()
  and exists (select from motions m join meetings t on t.id = m.meeting_id where m.id = motion_id and not t.over));
create policy "change" on votes for update to authenticated using (person = auth.uid()) with check (person = auth.uid());
create policy "own" on votes for select to authenticated using (person = auth.uid());
create policy "own" on fines for select to authenticated using (person = auth.uid());
create policy "new" on fines for insert to authenticated with check (person = auth.uid() and amount_cents = 0);
create policy "change" on fines for update to authenticated using (person = auth.uid())
  with check (person = auth.uid() and (amount_cents <= 1000 or stripe_payment_id is not null));
create function guest_key() returns text language sql stable as
  $$ select nullif(current_setting('request.headers', true)::json ->> 'x-guest-key', '') $$;
create policy "mine" on orders for select
  using (person = auth.uid() or (person is null and guest_key = guest_key()));
create policy "new" on orders for insert with check (
  total_cents = 0 and state = 'new' and (person = auth.uid() or (person is null and guest_key = guest_key())));
create policy "change" on orders for update
  using (person = auth.uid() or (person is null and guest_key = guest_key()))
  with check (person = auth.uid() or (person is null and guest_key = guest_key()));
"""
# a member sees and changes its own row by a view, too; files lie in the folder of the firm
FIRM = """
create table firms (id uuid primary key default gen_random_uuid(), name text);
create table staff (
  user_id uuid primary key references auth.users, firm uuid not null references firms, name text not null,
  boss boolean not null default false
);
create table ledgers (
  id uuid primary key default gen_random_uuid(), firm uuid not null references firms, text text not null
);
create table loads (
  id uuid primary key default gen_random_uuid(), firm uuid not null references firms, driver uuid references staff,
  goods text not null
);
create function my_firm() returns uuid language sql stable security definer set search_path = '' as
  $$ select firm from public.staff where user_id = auth.uid() $$;
create function is_boss() returns boolean language sql stable security definer set search_path = '' as
  $$ select coalesce((select boss from public.staff where user_id = auth.uid()), false) $$;
alter table firms enable row level security;
alter table staff enable row level security;
alter table ledgers enable row level security;
alter table loads enable row level security;
create policy "own" on staff for select to authenticated using (user_id = auth.uid());
create policy "change" on staff for update to authenticated using (user_id = auth.uid()) with check (user_id = auth.uid());
create policy "bosses" on ledgers for all to authenticated using (firm = my_firm() and is_boss());
create policy "drivers" on loads for select to authenticated using (firm = my_firm() and driver = auth.uid());
create view my_profile as select user_id, name, boss from staff where user_id = auth.uid();
revoke all on my_profile from anon, authenticated;
grant select, update on my_profile to authenticated;
insert into storage.buckets (id, name, public) values ('papers', 'papers', false);
create policy "papers of the firm" on storage.objects for select to authenticated
  using (bucket_id = 'papers' and (storage.foldername(name))[1] = my_firm()::text);
create policy "papers of a load" on storage.objects for insert to authenticated with check (
  bucket_id = 'papers'
  and exists (select from loads l where l.id::text = (storage.foldername(objects.name))[2] and l.driver = auth.uid()));
"""
# who knows the code of a crew finds it by a function, and adds themselves; captains add others, too
CREW = """
create table crews (id uuid primary key default gen_random_uuid(), name text not null, code text not null);
create table sailors (
  id uuid primary key default gen_random_uuid(), crew_id uuid references crews on delete cascade,
  person uuid references auth.users, role text default 'sailor', state text default 'asked', unique (crew_id, person)
);
create table trips (id uuid primary key default gen_random_uuid(), crew_id uuid not null references crews, text text);
create table people (id uuid primary key references auth.users, phone text);
alter table crews enable row level security;
alter table sailors enable row level security;
alter table trips enable row level security;
alter table people enable row level security;
create function sails(crew uuid) returns boolean language sql stable security definer set search_path = public as
  $$ select exists (select from sailors where crew_id = crew and person = auth.uid() and state = 'accepted') $$;
create function commands(crew uuid) returns boolean language sql stable security definer set search_path = public as
  $$ select exists (select from sailors where crew_id = crew and person = auth.uid() and state = 'accepted'
     and role = 'captain') $$;
create function crew_of(code_given text) returns uuid language sql stable security definer set search_path = public as
  $$ select id from crews where code = code_given $$;
create policy "crew" on crews for select using (sails(id));
create policy "crew" on sailors for select using (sails(crew_id));
create policy "captain or self" on sailors for insert with check (commands(crew_id) or person = auth.uid());
create policy "captain" on sailors for update using (commands(crew_id));
create policy "captain removes" on sailors for delete using (commands(crew_id));
create policy "crew" on trips for select using (sails(crew_id));
create policy "own" on people for select using (id = auth.uid());
create policy "of a crew" on people for select using (exists (
  select from sailors a join sailors b on a.crew_id = b.crew_id
  where a.person = auth.uid() and a.state = 'accepted' and b.person = people.id and b.state = 'accepted'));
"""
# who signs up says whether they buy or work, and the app sends the default of the others
SIGN_UP = """
create table accounts (
  id uuid primary key references auth.users, name text not null,
  role text not null default 'buyer' check (role in ('buyer', 'worker')), boss boolean not null default false
);
create table bids (id uuid primary key default gen_random_uuid(), worker uuid not null references accounts, text text);
alter table accounts enable row level security;
alter table bids enable row level security;
create function is_boss() returns boolean language sql stable security definer set search_path = public as
  $$ select coalesce((select boss from accounts where id = auth.uid()), false) $$;
create policy "own" on accounts for select to authenticated using (id = auth.uid() or is_boss());
create policy "sign up" on accounts for insert to authenticated with check (id = auth.uid());
create policy "own" on bids for select to authenticated using (worker = auth.uid());
create policy "bid" on bids for insert to authenticated with check (
  worker = auth.uid() and exists (select from accounts a where a.id = auth.uid() and a.role = 'worker'));
"""
# nothing says whether a complaint is of its person or of whom it is about; a default says whose a bid is
POST = """
create table complaints (
  id uuid primary key default gen_random_uuid(), about uuid not null references auth.users,
  person uuid not null references auth.users, text text not null
);
create table bids (
  id uuid primary key default gen_random_uuid(), seller uuid not null references auth.users,
  bidder uuid not null default auth.uid() references auth.users, text text not null
);
alter table complaints enable row level security;
alter table bids enable row level security;
create policy "both" on complaints for select to authenticated using (auth.uid() in (about, person));
create policy "complain" on complaints for insert to authenticated with check (auth.uid() is not null);
create policy "both" on bids for select to authenticated using (auth.uid() in (seller, bidder));
create policy "bid" on bids for insert to authenticated with check (auth.uid() is not null);
"""
# heads put people into squads, whom nobody else moves
SQUADS = """
create table squads (id uuid primary key default gen_random_uuid(), name text not null);
create table people (id uuid primary key references auth.users, squad uuid references squads, name text not null);
create table duties (id uuid primary key default gen_random_uuid(), squad uuid not null references squads, text text);
alter table squads enable row level security;
alter table people enable row level security;
alter table duties enable row level security;
create function my_squad() returns uuid language sql stable security definer set search_path = public as
  $$ select squad from people where id = auth.uid() $$;
create function is_head() returns boolean language sql stable set search_path = public as
  $$ select coalesce(auth.jwt() -> 'app_metadata' ->> 'role', '') = 'head' $$;
create policy "all" on squads for select to authenticated using (true);
create policy "own" on people for select to authenticated using (id = auth.uid() or is_head());
create policy "change" on people for update to authenticated using (id = auth.uid());
create policy "heads" on people for update to authenticated using (is_head());
create policy "squad" on duties for select to authenticated using (squad = my_squad());
"""


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    return session_copy(request, "whole_repairs", "services", DEFAULT_MAJOR).url


def findings(url: str, project: str) -> dict[str, AuditFinding]:
    with connect(url) as connection, connection.transaction(force_rollback=True):
        connection.execute(project.encode())
        return {one.id: one for one in run_audit(connection).findings}


@pytest.fixture(scope="module")
def club(url: str) -> dict[str, AuditFinding]:
    return findings(url, CLUB)


@pytest.fixture(scope="module")
def firm(url: str) -> dict[str, AuditFinding]:
    return findings(url, FIRM)


@pytest.fixture(scope="module")
def crew(url: str) -> dict[str, AuditFinding]:
    return findings(url, CREW)


def test_who_may_join_by_a_policy_only_still_joins(crew: dict[str, AuditFinding]) -> None:
    joining = crew["escalation:public.sailors:insert"]
    assert not joining.proven
    assert "insert of own rows of public.sailors" in joining.fix


def test_column_by_which_new_rows_pass_is_granted(crew: dict[str, AuditFinding]) -> None:
    assert not any("revoke insert" in one.fix and one.proven for one in crew.values())
    assert "escalation:public.sailors:insert:person" in crew


def test_what_one_chooses_to_sign_up_stays(url: str) -> None:
    found = findings(url, SIGN_UP)
    role = found["privileged-column:public.accounts:insert:role"]
    assert not role.proven
    assert "insert of own rows with role = buyer" in role.fix or "role = worker" in role.fix
    boss = next(one for name, one in found.items() if name.endswith(":insert:boss"))
    assert boss.proven
    assert 'with check ("boss" is not distinct from false)' in boss.fix


def test_who_moves_others_keeps_the_column(url: str) -> None:
    moved = findings(url, SQUADS)["escalation:public.people:update:squad"]
    assert moved.proven
    assert "revoke update" not in moved.fix
    assert 'before update of "squad"' in moved.fix


def test_who_adds_a_row_that_names_two_persons(url: str) -> None:
    found = findings(url, POST)
    complaint = found["forged:public.complaints:insert"]
    assert not complaint.proven
    asked = "Whoever about or person of public.complaints names adds a row, also about others."
    assert asked in complaint.fix.replace("\n-- ", " ")
    bid = found["forged:public.bids:insert"]
    assert bid.proven
    assert bid.fix.endswith('with check ("bidder" = (select auth.uid()));')


def test_who_is_asked_still_accepts(club: dict[str, AuditFinding]) -> None:
    given = club["give-away:public.ties:update:a"]
    assert given.proven
    assert 'grant update ("b", "accepted")' in given.fix


def test_moved_row_meets_what_new_ones_must(club: dict[str, AuditFinding]) -> None:
    moved = club["unreadable-parent:public.votes:update"]
    assert moved.proven
    assert "over" in moved.fix


def test_value_in_a_range_is_meant_to_be_written(club: dict[str, AuditFinding]) -> None:
    assert not club["service-column:public.fines:update:amount_cents"].proven


def test_guests_lose_the_column_too(club: dict[str, AuditFinding]) -> None:
    total = club["service-column:public.orders:update:total_cents"]
    assert total.proven
    assert 'from "anon"' in total.fix


def test_view_that_writes_the_same_column(firm: dict[str, AuditFinding]) -> None:
    boss = firm["escalation:public.staff:update:boss"]
    assert boss.proven
    assert 'revoke update on "public"."my_profile"' in boss.fix


def test_path_of_other_policies(firm: dict[str, AuditFinding]) -> None:
    upload = firm["upload:storage.objects (bucket papers):insert"]
    assert "my_firm()" in upload.fix


def test_columns_of_other_findings_are_named(club: dict[str, AuditFinding]) -> None:
    given = club["give-away:public.ties:update:a"]
    assert not club["untested-column:public.ties:update"].proven
    assert "-- It leaves accepted, about which there is another finding." in given.fix
