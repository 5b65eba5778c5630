"""Repairs of which the act that shows a leak tells too little: another role, another row, a person
whom nobody has asked about. They are comments that say so, or better repairs.
"""

from collections.abc import Iterator

import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import AuditFinding
from tests.audit.conftest import run_audit
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

# boats of a rowing club: who rows is listed in a boat, and coaches belong to the whole club
CLUB = """
create type rank as enum ('guest', 'member', 'admin', 'owner');
create table boats (id uuid primary key default gen_random_uuid(), name text not null);
create table members (
  boat_id uuid references boats, user_id uuid references auth.users, role rank not null default 'guest',
  primary key (boat_id, user_id)
);
create table logs (id bigint primary key, boat_id uuid not null references boats, text text not null);
create table seals (id bigint primary key, boat_id uuid not null references boats, text text not null);
create function role_in(boat uuid) returns rank language sql stable security definer set search_path = public
as $$ select role from members where boat_id = boat and user_id = auth.uid() $$;
alter table boats enable row level security;
alter table members enable row level security;
alter table logs enable row level security;
alter table seals enable row level security;
create policy "all" on boats for select using (true);
create policy "crew" on members for select to authenticated
  using (user_id = auth.uid() or role_in(boat_id) is not null);
create policy "join" on members for insert to authenticated with check (user_id = auth.uid());
create policy "leave" on members for delete to authenticated using (user_id = auth.uid() and role < 'owner');
create policy "change" on members for update to authenticated
  using (role_in(boat_id) >= 'admin' and role < 'owner') with check (role_in(boat_id) >= 'admin');
create policy "own" on members for all to authenticated
  using (role_in(boat_id) = 'owner') with check (role_in(boat_id) = 'owner');
create policy "read" on logs for select to authenticated using (role_in(boat_id) is not null);
create policy "seal" on seals for all to authenticated
  using (role_in(boat_id) >= 'admin') with check (role_in(boat_id) >= 'admin');
"""
# trips of a rower; an update asks for the own seat of the old row only
TRIPS = """
create table clubs (id bigint primary key, name text not null);
create table rowers (
  id bigint primary key, club bigint not null references clubs, person uuid references auth.users, name text,
  post text not null default 'rower' check (post in ('rower', 'coach')), unique (club, person)
);
create function rows_in(c bigint) returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from rowers where club = c and person = auth.uid()) $$;
create table trips (id bigint primary key, club bigint not null references clubs, leaves timestamptz not null);
create table seats (
  trip_id bigint references trips, rower_id bigint references rowers, comes boolean not null default true,
  primary key (trip_id, rower_id)
);
create table lockers (id bigint primary key, rower_id bigint not null references rowers, content text not null);
alter table clubs enable row level security;
alter table rowers enable row level security;
alter table trips enable row level security;
alter table seats enable row level security;
create function post_in(c bigint) returns text language sql stable security definer set search_path = public
as $$ select post from rowers where club = c and person = auth.uid() $$;
create policy "coach" on trips for all to authenticated using (post_in(club) = 'coach');
create policy "club" on rowers for select to authenticated using (person = auth.uid() or rows_in(club));
create policy "club" on trips for select to authenticated using (rows_in(club));
create policy "club" on seats for select to authenticated
  using (exists (select from trips t where t.id = trip_id));
create policy "change" on seats for update to authenticated
  using (
    exists (select from rowers r where r.id = rower_id and r.person = auth.uid())
    and exists (select from trips t where t.id = trip_id and t.leaves > now()))
  with check (exists (select from trips t where t.id = trip_id and t.leaves > now()));
"""
# no policy lets a trainer read what the view shows
STAFF = """
create table trainers (user_id uuid primary key references auth.users, post text not null check (post in ('head', 'aide')));
create table guests (user_id uuid primary key references auth.users, phone text);
create table halls (id bigint primary key, plan text);
alter table trainers enable row level security;
alter table guests enable row level security;
alter table halls enable row level security;
create function post() returns text language sql stable security definer set search_path = public
as $$ select post from trainers where user_id = auth.uid() $$;
create policy "own" on trainers for select to authenticated using (user_id = auth.uid());
create policy "own" on guests for select to authenticated using (user_id = auth.uid());
create policy "trainers" on halls for all to authenticated using (post() is not null) with check (post() = 'head');
create view guest_list as select user_id, phone from guests;
revoke all on guest_list from anon, authenticated;
grant select on guest_list to authenticated;
"""
READ_BY_TRAINERS = """
create policy "trainers" on guests for select to authenticated using (post() = 'head');
"""
# OR binds weaker than AND: whoever has a deck changes all cards, and those of public decks are read
DECKS = """
create table decks (
  id uuid primary key default gen_random_uuid(), owner_id uuid not null references auth.users, title text,
  visibility text not null default 'private' check (visibility in ('private', 'shared', 'public'))
);
create table cards (id uuid primary key default gen_random_uuid(), deck_id uuid not null references decks, face text);
alter table decks enable row level security;
alter table cards enable row level security;
create policy "seen" on decks for select using (visibility = 'public' or owner_id = auth.uid());
create policy "own" on decks for all to authenticated using (owner_id = auth.uid());
create policy "seen" on cards for select using (
  exists (select from decks d where d.id = deck_id and (d.visibility = 'public' or d.owner_id = auth.uid())));
create policy "own" on cards for all to authenticated using (
  exists (select from decks d where d.id = deck_id and d.visibility <> 'shared' or d.owner_id = auth.uid()));
"""

# what outsiders call is also what a policy, a view, a trigger or an owner calls, each as the caller
CALLED = """
create schema hidden;
grant usage on schema hidden to anon, authenticated;
create table choirs (id bigint primary key, name text not null);
create table singers (
  id bigint primary key, choir_id bigint not null references choirs, user_id uuid not null references auth.users,
  remark text not null, unique (choir_id, user_id)
);
create table fees (id bigint primary key, choir_id bigint not null references choirs, cents int not null, note text not null);
create table letters (id bigint primary key, user_id uuid not null default auth.uid() references auth.users, text text not null);
create table strikes (id bigint primary key, person uuid not null references auth.users, reason text not null);
create table diaries (id bigint primary key, person uuid not null references auth.users, text text not null);
alter table choirs enable row level security;
alter table singers enable row level security;
alter table fees enable row level security;
alter table letters enable row level security;
alter table strikes enable row level security;
alter table diaries enable row level security;
create function hidden.singers_of(c bigint) returns setof singers language sql stable security definer
  set search_path = public as $$ select * from singers where choir_id = c $$;
create function hidden.fees_of(c bigint) returns setof fees language sql stable security definer
  set search_path = public as $$ select * from fees where choir_id = c $$;
create function hidden.strikes_of(who uuid) returns setof strikes language sql stable security definer
  set search_path = public as $$ select * from strikes where person = who $$;
create function hidden.diaries_of(who uuid) returns setof diaries language sql stable security definer
  set search_path = public as $$ select * from diaries where person = who $$;
create function singers_of(c bigint) returns setof singers language sql stable as $$ select * from hidden.singers_of(c) $$;
create function fees_of(c bigint) returns setof fees language sql stable as $$ select * from hidden.fees_of(c) $$;
create function strikes_of(who uuid) returns setof strikes language sql stable as $$ select * from hidden.strikes_of(who) $$;
create function diaries_of(who uuid) returns setof diaries language sql stable as $$ select * from hidden.diaries_of(who) $$;
create policy "choir" on choirs for select to authenticated
  using (exists (select from singers_of(id) s where s.user_id = auth.uid()));
create policy "own" on letters for all to authenticated using (user_id = auth.uid());
create view budgets with (security_invoker = true) as
  select c.id, c.name, (select sum(cents) from fees_of(c.id)) as cents from choirs c;
create function count_strikes() returns trigger language plpgsql as $$ begin
  if (select count(*) from strikes_of(new.user_id)) > 1000 then raise exception 'too many'; end if;
  return new;
end $$;
create trigger count_strikes before insert on letters for each row execute function count_strikes();
"""


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    return session_copy(request, "siblings", "services", DEFAULT_MAJOR).url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as opened, opened.transaction(force_rollback=True):
        yield opened


def found(connection: Connection, project: str, code: str) -> AuditFinding:
    """The finding in a project whose id begins with this code."""
    connection.execute(project.encode())
    all_of_them = {one.id: one for one in run_audit(connection).findings}
    some = [one for name, one in all_of_them.items() if name.startswith(code)]
    assert some, sorted(all_of_them)
    return some[0]


def test_joining_with_a_weaker_role_stays_open(connection: Connection) -> None:
    join = found(connection, CLUB, "escalation:public.members:insert")
    assert "role <" not in join.fix


def test_new_row_keeps_what_the_old_one_must_have(connection: Connection) -> None:
    moved = found(connection, TRIPS, "unreadable-parent:public.seats:update")
    assert moved.proven
    [_, checked] = moved.fix.split("with check")
    assert "r.person = auth.uid()" in checked


def test_policy_that_nobody_has_decided_about(connection: Connection) -> None:
    lockers = found(connection, TRIPS, "rls-disabled:public.lockers")
    assert not lockers.proven
    assert "leaves a question" in lockers.fix
    assert "May they?" in lockers.fix


def test_view_by_which_only_staff_may_read(connection: Connection) -> None:
    assert not found(connection, STAFF, "view-ids:public.guest_list").proven


def test_view_that_staff_need_not_have(connection: Connection) -> None:
    assert found(connection, STAFF + READ_BY_TRAINERS, "view-ids:public.guest_list").proven


def test_rows_in_another_state_stay_open(connection: Connection) -> None:
    changed = found(connection, DECKS, "write:public.cards:update")
    assert changed.proven
    assert '"parent"."owner_id" = (select auth.uid())' in changed.fix


def test_functions_that_something_else_calls(connection: Connection) -> None:
    connection.execute(CALLED.encode())
    fixes = {one.object: one for one in run_audit(connection).findings}
    for name, needed in (
        ("singers_of(bigint)", "select of rows of the group of public.choirs"),
        ("fees_of(bigint)", "select of public.budgets"),
        ("strikes_of(uuid)", "owner: insert of own rows of public.letters"),
        ("diaries_of(uuid)", "owner: call of public.diaries_of(uuid)"),
    ):
        one = fixes[f"public.{name}"]
        assert not one.proven
        assert f"-- revoke execute on function {one.object}" in one.fix
        assert needed in one.fix.replace("\n-- ", " ")
