"""Repairs by which somebody would lose what the audit saw only of one who is everybody at once, or
of nobody: they are comments that say so.
"""

from collections.abc import Iterator

import pytest

from supabase_jobs.audit.repairs import answers
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import AuditFinding
from tests.audit.conftest import run_audit
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

# pets are boarded at kennels: the keeper of the kennel and the holder of the pet have other rights
KENNELS = """
create table kennels (
  id uuid primary key default gen_random_uuid(), keeper uuid not null references auth.users, name text not null
);
create table stays (
  id uuid primary key default gen_random_uuid(), kennel_id uuid not null references kennels,
  holder uuid not null references auth.users,
  state text not null default 'asked' check (state in ('asked', 'agreed', 'refused')), note text
);
create table cameras (id bigint primary key, kennel_id uuid not null references kennels, address text not null);
alter table kennels enable row level security;
alter table stays enable row level security;
alter table cameras enable row level security;
create function keeps(kennel uuid) returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from kennels where id = kennel and keeper = auth.uid()) $$;
create policy "all" on kennels for select to authenticated using (true);
create policy "both read" on stays for select to authenticated using (holder = auth.uid() or keeps(kennel_id));
create policy "ask" on stays for insert to authenticated with check (holder = auth.uid() and state = 'asked');
create policy "agreed guests" on cameras for select to authenticated using (
  keeps(kennel_id) or exists (
    select from stays s where s.kennel_id = cameras.kennel_id and s.holder = auth.uid() and s.state = 'agreed')
);
"""
# nobody is other than a keeper if it is null
AGREE = """
create function agree(stay uuid) returns void language plpgsql security definer set search_path = public as $$
declare found_keeper uuid;
begin
  select k.keeper into found_keeper from kennels k join stays s on s.kennel_id = k.id where s.id = stay;
  if found_keeper <> auth.uid() then raise exception 'not your kennel'; end if;
  update stays set state = 'agreed' where id = stay and state = 'asked';
end $$;
"""
# the holder agrees for the keeper
UPDATE = """
create policy "both change" on stays for update to authenticated
  using (holder = auth.uid() or keeps(kennel_id)) with check (holder = auth.uid() or keeps(kennel_id));
"""
# the table has no policy, so the view is the only way to it
VISITS = """
create table visits (id bigint primary key, holder uuid not null references auth.users, note text not null);
alter table visits enable row level security;
create view my_visits as select id, note from visits where holder = auth.uid();
revoke all on my_visits from anon, authenticated;
grant select, update on my_visits to authenticated;
"""

# numbers of all stays, and names that a privilege gives to everybody; the views that end with _list
# are meant to be read, and everybody changes their rows
PUBLISHED = """
alter table kennels add places integer not null default 4;
create function free_at(kennel uuid) returns bigint language sql stable security definer set search_path = public
as $$ select k.places - count(s.id) from kennels k left join stays s on s.kennel_id = k.id where k.id = kennel group by k.id $$;
create view kennel_list as select id, name from kennels;
create view big_list as select id, name from kennels where places > 9000;
create table breeds (id bigint primary key, name text not null, note text);
alter table breeds enable row level security;
create view breed_list as select id, name from breeds;
create table tariffs (id bigint primary key, kennel_id uuid not null references kennels, price integer not null);
alter table tariffs enable row level security;
create policy "keepers" on tariffs to authenticated using (auth.jwt() -> 'user_metadata' ->> 'role' = 'keeper');
create table wardens (
  id uuid primary key references auth.users,
  role text not null default 'guest' check (role in ('guest', 'warden', 'head')), active boolean not null default true
);
create table alarms (id bigint primary key, body text);
alter table wardens enable row level security;
alter table alarms enable row level security;
create function own_rank() returns text language sql stable security definer set search_path = public
as $$ select role from wardens where id = auth.uid() and active $$;
create policy "read" on wardens for select to authenticated using (id = auth.uid() or own_rank() in ('warden', 'head'));
create policy "appoint" on wardens for update to authenticated using (own_rank() in ('warden', 'head'));
create policy "heads" on alarms for select to authenticated using (own_rank() = 'head');
create view own_stays with (security_invoker = true) as
select k.id, count(s.id) as stays from kennels k left join stays s on s.kennel_id = k.id group by k.id;
"""

# what each policy lets pass is meant: the head of a kennel adds helpers, and everybody sees kennels
MEANT = """
revoke update on stays from anon, authenticated;
grant update (state) on stays to authenticated;
create policy "answer" on stays for update to authenticated using (holder = auth.uid())
  with check (holder = auth.uid() and state in ('agreed', 'refused'));
create table cellars (
  id uuid primary key default gen_random_uuid(), keeper uuid not null references auth.users, name text not null
);
create table helpers (
  cellar_id uuid not null references cellars, person uuid not null references auth.users, note text,
  primary key (cellar_id, person)
);
create table keys (id bigint primary key, cellar_id uuid not null references cellars, code text not null);
create table people (
  id uuid primary key references auth.users,
  role text not null default 'guest' check (role in ('guest', 'helper', 'head')), active boolean not null default true,
  name text, email text
);
create table rosters (id bigint primary key, body text);
alter table cellars enable row level security;
alter table helpers enable row level security;
alter table keys enable row level security;
alter table people enable row level security;
alter table rosters enable row level security;
create function own_role() returns text language sql stable security definer set search_path = public
as $$ select role from people where id = auth.uid() and active $$;
create function owns(cellar uuid) returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from cellars where id = cellar and keeper = auth.uid()) $$;
create policy "own" on cellars to authenticated using (keeper = auth.uid()) with check (keeper = auth.uid());
create policy "read" on helpers for select to authenticated using (person = auth.uid() or owns(cellar_id));
create policy "enter" on helpers for insert to authenticated with check (owns(cellar_id) or person = auth.uid());
create policy "helpers" on keys for select to authenticated using (
  owns(cellar_id)
  or exists (select from helpers h where h.cellar_id = keys.cellar_id and h.person = auth.uid())
);
create function enter(code_given text) returns void language sql security definer set search_path = public as
$$ insert into helpers (cellar_id, person) select cellar_id, auth.uid() from keys where code = code_given $$;
create policy "everybody" on people for select to authenticated using (true);
create policy "own" on people for update to authenticated using (id = auth.uid()) with check (id = auth.uid());
create policy "heads" on people for update to authenticated using (own_role() = 'head') with check (own_role() = 'head');
create policy "helpers" on rosters for select to authenticated using (own_role() in ('helper', 'head'));
"""

# a customer edits the own return, and so does who works at the shop: a key names the worker; the
# first owner of rows is a guest with a header
RETURNS = """
create table shops (id uuid primary key default gen_random_uuid(), name text not null);
create table workers (
  shop_id uuid not null references shops, person uuid not null references auth.users,
  primary key (shop_id, person)
);
create table purchases (
  id uuid primary key default gen_random_uuid(), shop_id uuid not null references shops,
  buyer uuid not null references auth.users, total integer not null
);
create table returns (
  id uuid primary key default gen_random_uuid(), purchase_id uuid not null references purchases,
  person uuid not null references auth.users, reason text
);
create table carts (id uuid primary key default gen_random_uuid(), token text not null);
alter table carts enable row level security;
create policy "guests" on carts to anon
  using (token = (current_setting('request.headers', true)::json ->> 'x-cart'));
alter table shops enable row level security;
alter table workers enable row level security;
alter table purchases enable row level security;
alter table returns enable row level security;
create function works_at(shop uuid) returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from workers where shop_id = shop and person = auth.uid()) $$;
create policy "own" on workers for select to authenticated using (person = auth.uid());
create policy "both" on purchases for select to authenticated using (buyer = auth.uid() or works_at(shop_id));
create policy "own" on returns for select to authenticated using (person = auth.uid());
create policy "edit" on returns for update to authenticated
  using (person = auth.uid()) with check (person = auth.uid());
create policy "of the shop" on returns to authenticated using (
  exists (select from purchases p where p.id = purchase_id and works_at(p.shop_id))
);
"""

# numbers without a name: guests see which places of a kennel are taken
CALENDAR = """
create function taken_places(kennel uuid) returns table (place bigint) language sql stable security definer
set search_path = public
as $$ select row_number() over (order by s.id) from stays s where s.kennel_id = kennel $$;
"""

# who reads a post reads its claps, also in a room that is open to everybody
ROOMS = """
create table rooms (id uuid primary key default gen_random_uuid(), name text not null, is_open boolean not null default true);
create table seats (room_id uuid not null references rooms, person uuid not null references auth.users, primary key (room_id, person));
create table posts (
  id uuid primary key default gen_random_uuid(), room_id uuid not null references rooms on delete cascade,
  author uuid not null references auth.users, body text
);
create table claps (
  id uuid primary key default gen_random_uuid(), post_id uuid not null references posts on delete cascade,
  person uuid not null references auth.users, note text
);
alter table rooms enable row level security;
alter table seats enable row level security;
alter table posts enable row level security;
alter table claps enable row level security;
create function sits_in(room uuid) returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from seats where room_id = room and person = auth.uid()) $$;
create function is_open(room uuid) returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from rooms r where r.id = room and r.is_open) $$;
create function room_of(post uuid) returns uuid language sql stable security definer set search_path = public
as $$ select room_id from posts where id = post $$;
create policy "members" on rooms for select to authenticated using (is_open or sits_in(id));
create policy "own" on seats for select to authenticated using (person = auth.uid() or sits_in(room_id));
create policy "read" on posts for select to authenticated using (sits_in(room_id) or is_open(room_id));
create policy "write" on posts for insert to authenticated with check (author = auth.uid() and sits_in(room_id));
create policy "of posts" on claps for select to authenticated using (exists (select from posts p where p.id = post_id));
create policy "clap" on claps for insert to authenticated with check (person = auth.uid() and sits_in(room_of(post_id)));
create policy "own" on claps for delete to authenticated using (person = auth.uid());
"""


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    return session_copy(request, "ways", "services", DEFAULT_MAJOR).url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as opened, opened.transaction(force_rollback=True):
        opened.execute(KENNELS.encode())
        yield opened


def finding(connection: Connection, id_: str) -> AuditFinding:
    """The finding with this id."""
    found = {str(one.id): one for one in run_audit(connection).findings}
    assert id_ in found, sorted(found)
    return found[id_]


def test_function_that_only_the_other_person_may_call(connection: Connection) -> None:
    connection.execute(AGREE.encode())
    one = finding(connection, "function-writes:public.agree(uuid)")
    assert one.proven
    assert '"holder" = ' not in one.fix
    assert '"parent"."keeper" = (select auth.uid())' in one.fix


def test_column_that_both_persons_may_change(connection: Connection) -> None:
    connection.execute(UPDATE.encode())
    one = finding(connection, "escalation:public.stays:update:state")
    # the keeper still agrees
    assert one.proven
    assert "where (public.keeps(kennel_id))" in one.fix


def test_column_that_one_person_may_change(connection: Connection) -> None:
    connection.execute(UPDATE.replace(" or keeps(kennel_id)", "").encode())
    one = finding(connection, "escalation:public.stays:update:state")
    assert one.proven


def test_policy_that_somebody_needs_whom_a_key_names_elsewhere(connection: Connection) -> None:
    connection.execute(RETURNS.encode())
    one = finding(connection, "unreadable-parent:public.returns:update")
    assert "drop policy" not in one.fix
    assert one.proven


def test_numbers_that_only_a_function_shows_to_guests(connection: Connection) -> None:
    connection.execute(CALENDAR.encode())
    one = finding(connection, "function-exists:public.taken_places(uuid)")
    assert not one.proven
    assert "nobody is left with: answer of public.taken_places(uuid) as anon" in one.fix


def test_part_of_what_everybody_reads(connection: Connection) -> None:
    connection.execute(ROOMS.encode())
    assert not finding(connection, "public:public.claps:select").proven


def test_what_another_part_of_a_policy_permits_stays(connection: Connection) -> None:
    connection.execute(MEANT.encode())
    found = {str(one.id): one for one in run_audit(connection).findings}
    # who keeps the cellar adds helpers as before, and who has the code of a key enters by a call
    entering = found["escalation:public.helpers:insert"]
    assert entering.proven
    assert entering.fix.endswith("with check ((public.owns(cellar_id)));")
    # heads still say who is active
    active = found["escalation:public.people:update:active"]
    assert active.proven
    assert "public.own_role() = 'head'" in active.fix
    assert "user with people: role = guest" in found["escalation:public.people:update:role"].message
    for id_, needed in (
        ("escalation:public.stays:update:state", 'what policy "answer" permits by name'),
        ("public:public.people:select", "select of rows of others of public.people"),
    ):
        assert not found[id_].proven
        assert needed in found[id_].fix.replace("\n-- ", " ")


def test_view_that_nobody_would_change_any_more(connection: Connection) -> None:
    connection.execute(VISITS.encode())
    one = finding(connection, "view:public.my_visits:update")
    assert not one.proven
    assert "-- Tried: nobody is left with: update of public.my_visits." in one.fix


def test_published_numbers_and_names_stay_as_they_are(connection: Connection) -> None:
    connection.execute(PUBLISHED.encode())
    found = {str(one.id): one for one in run_audit(connection).findings if one.severity.is_problem}
    one = found["function-aggregate:public.free_at(uuid)"]
    assert not one.proven
    assert "the same answer of public.free_at(uuid)" in one.fix
    # what is written by a view is no reason to end what is read by it
    for action in ("update", "delete"):
        for name, is_proven in (("breed_list", True), ("big_list", True), ("kennel_list", False)):
            one = found[f"view:public.{name}:{action}"]
            assert one.proven == is_proven
            revoke = f'revoke insert, update, delete on "public"."{name}" from anon, authenticated;'
            assert one.fix.endswith(revoke)
    assert "owner: update of public.kennel_list" in one.fix.replace("\n-- ", " ")
    forged = [one for one in found.values() if one.object == "public.tariffs"]
    assert len(forged) == 6
    for one in forged:
        assert not one.proven
        assert one.fix.startswith("-- Users change their own user_metadata. Once app_metadata has")
    # wardens have the right to appoint by their role, and guests have not
    assert [id_ for id_ in found if "wardens" in id_] == []
    # no view shows more with the rights of its caller
    assert [id_ for id_ in found if "own_stays" in id_] == []


@pytest.mark.parametrize(
    ("before", "after", "only_numbers", "is_wrong"),
    [
        ("(1,4)\n(2,5)", "(1,4)", False, False),
        ("(1,4)\n(2,5)", "(1,4)\n(2,3)", False, True),
        ("(1,4)\n(2,5)", "(1,4)\n(2,3)", True, True),
        ("(1,Rex)", "(1,)", False, False),
        ("3", "", False, False),
        ("3", "0", True, True),
        ("t", "f", False, True),
        ("t", "f", True, False),
        ("agreed", "refused", False, True),
        ("agreed", "refused", True, False),
    ],
)
def test_answer_that_is_no_part_of_the_one_before_is_wrong(
    before: str, after: str, only_numbers: bool, is_wrong: bool
) -> None:
    assert answers.is_wrong(before, after, only_numbers=only_numbers) == is_wrong
