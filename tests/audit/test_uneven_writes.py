"""Policies for writes that ask for less than others of their table, without a database."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Function, Policy
from supabase_jobs.audit.policies import own_locks, unseen_flags
from supabase_jobs.audit.policies.uneven_writes import UnevenWrites
from supabase_jobs.audit.policies.usage import usage
from tests.audit.catalogs import (
    ALL,
    DELETE,
    INSERT,
    UPDATE,
    catalog,
    column,
    foreign_key,
    function,
    policy,
    table,
)

OWN = "(diver = auth.uid())"
OPEN = "(EXISTS ( SELECT 1 FROM trips t WHERE ((t.id = dives.trip) AND (t.phase = 'open'::text))))"
SAILED = (
    "(EXISTS ( SELECT 1 FROM trips t WHERE ((t.id = dives.trip) AND (t.phase = 'done'::text))))"
)
TO_COME = "(EXISTS ( SELECT 1 FROM trips t WHERE ((t.id = dives.trip) AND (t.sails_at > now()))))"
RANK = function(
    "rank_in",
    "select rank from crew where id = auth.uid() and club = p_club",
    oid=90,
    arguments=["p_club"],
)
IN_CREW = function(
    "in_crew",
    "select exists (select 1 from crew where id = auth.uid() and club = p_club)",
    oid=91,
    arguments=["p_club"],
)
ANY, GUIDES = (
    "(rank_in(club) IS NOT NULL)",
    "(rank_in(club) = ANY (ARRAY['head'::text, 'guide'::text]))",
)
HEAD = "(rank_in(club) = 'head'::text)"


def uneven(
    new: str,
    changed: str,
    checked: str | None = None,
    *,
    functions: Sequence[Function] = (),
    trigger: str = "",
    deleted: str = "false",
) -> list[str]:
    """The differences between a policy for new dives, and one for changed ones."""
    clubs = table("clubs", "id", "head", replace(column("shut", "bool"), default="false"), oid=4)
    trips = table(
        "trips",
        "id",
        "club",
        replace(column("phase"), default="'open'::text"),
        column("sails_at", "timestamptz"),
        oid=2,
        constraints=[foreign_key("club", clubs)],
    )
    crew = table("crew", "id", "club", "rank", oid=3)
    policies: list[Policy] = [
        policy(new, INSERT),
        policy(changed, UPDATE, checked=checked),
        policy(deleted, DELETE),
    ]
    dives = table(
        "dives",
        "id",
        "diver",
        "trip",
        "club",
        policies=policies,
        constraints=[foreign_key("trip", trips)],
    )
    granted = frozenset({f"authenticated {one}" for one in ("INSERT", "UPDATE", "DELETE")})
    dives = replace(dives, granted=granted, triggers=(99,) if trigger else ())
    guard = replace(function("guard", trigger, oid=99), result="trigger")
    project = catalog(dives, trips, crew, clubs, functions=[RANK, IN_CREW, guard, *functions])
    writes = UnevenWrites(project, usage.usage(project, words.load()))
    return [f"{one.what}: {', '.join(one.columns)}" for one in writes.of_table(dives)]


@pytest.mark.parametrize(
    ("new", "changed", "found"),
    [
        (OWN, f"({OWN} AND {OPEN})", ["new: public.trips.phase"]),
        (OWN, f"({OWN} AND {SAILED})", ["new: public.trips.phase"]),
        (f"({OWN} AND {OPEN})", f"({OWN} AND {OPEN})", []),
        (f"({OWN} AND {OPEN})", OWN, ["changed: public.trips.phase"]),
        (f"({OWN} AND {TO_COME})", OWN, ["changed: public.trips.sails_at"]),
        # a state in which no row begins lasts
        (f"({OWN} AND {SAILED})", OWN, []),
        # another person changes the row
        (OWN, OPEN, []),
    ],
)
def test_state_of_the_row_above(new: str, changed: str, found: list[str]) -> None:
    assert uneven(new, changed) == found


CLUB_OPEN = (
    "(EXISTS ( SELECT 1 FROM (trips t JOIN clubs c ON ((c.id = t.club)))"
    " WHERE ((t.id = dives.trip) AND (NOT c.shut){})))"
)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("", ["changed: public.clubs.shut"]),
        # the club of the caller is none above the row
        (" AND (c.head = auth.uid())", []),
    ],
)
def test_state_of_the_row_above_that(condition: str, found: list[str]) -> None:
    assert uneven(f"({OWN} AND {CLUB_OPEN.format(condition)})", OWN) == found


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ("in_crew(club)", ["role: club"]),
        # the writer of the row has added it, perhaps before losing the role
        (f"({OWN} AND in_crew(club))", []),
        (f"(in_crew(club) AND {GUIDES})", []),
    ],
)
def test_role_beside_what_both_ask(changed: str, found: list[str]) -> None:
    assert uneven(f"({OWN} AND in_crew(club) AND {GUIDES})", changed) == found


def test_helper_that_asks_for_the_state() -> None:
    body = "select exists (select 1 from trips where id = p_trip and phase = 'open')"
    helper = function("is_open", body, oid=95, arguments=["p_trip"])
    changed = f"({OWN} AND is_open(trip))"
    assert uneven(OWN, changed, functions=[helper]) == ["new: public.trips.phase"]
    guard = "begin if (select phase from trips where id = new.trip) <> 'open' then raise 'no'; end if; end"
    assert uneven(OWN, changed, functions=[helper], trigger=guard) == []


@pytest.mark.parametrize(
    ("new", "changed", "checked", "found"),
    [
        (GUIDES, ANY, None, ["role: club"]),
        (HEAD, GUIDES, None, ["role: club"]),
        (ANY, GUIDES, None, []),
        (GUIDES, GUIDES, ANY, ["role-after: club"]),
        (GUIDES, GUIDES, GUIDES, []),
        (GUIDES, GUIDES, "in_crew(club)", ["role-after: club"]),
        # the writer of the row, and another helper
        (OWN, ANY, None, []),
    ],
)
def test_role(new: str, changed: str, checked: str | None, found: list[str]) -> None:
    assert uneven(new, changed, checked) == found


@pytest.mark.parametrize(
    ("changed", "deleted", "found"),
    [
        (GUIDES, ANY, ["role-of-delete: club"]),
        (GUIDES, "in_crew(club)", ["role-of-delete: club"]),
        ("leads(club)", "in_crew(club)", ["role-of-delete: club"]),
        ("in_crew(club)", "leads(club)", []),
        ("dives_or_leads(club)", "leads(club)", []),
        ("leads(club)", "dives_or_leads(club)", []),
        (GUIDES, HEAD, []),
        (ANY, GUIDES, []),
        (GUIDES, OWN, []),
    ],
)
def test_role_of_who_deletes(changed: str, deleted: str, found: list[str]) -> None:
    body = "select exists (select 1 from crew where id = auth.uid() and club = p_club and {})"
    helpers = {"leads": "rank = 'head'", "dives_or_leads": "rank in ('head', 'guide')"}
    functions = [
        function(name, body.format(condition), oid=oid, arguments=["p_club"])
        for oid, (name, condition) in enumerate(helpers.items(), 95)
    ]
    assert uneven(OWN, changed, deleted=deleted, functions=functions) == found


def test_helper_that_is_asked_for_a_role_elsewhere() -> None:
    granted = frozenset({"authenticated INSERT"})
    texts = {"dives": GUIDES, "logs": HEAD, "photos": ANY, "tips": "in_crew(club)"}
    tables = [
        replace(
            table(name, "id", "club", oid=oid, policies=[policy(text, INSERT)]), granted=granted
        )
        for oid, (name, text) in enumerate(texts.items(), 1)
    ]
    crew = table("crew", "id", "club", "rank", oid=9)
    project = catalog(*tables, crew, functions=[RANK, IN_CREW])
    writes = UnevenWrites(project, usage.usage(project, words.load()))
    found = [(one.table, one.other) for one in writes.of_siblings(tables)]
    assert found == [("public.photos", "public.dives, public.logs")]
    assert [*writes.of_siblings(tables[1:])] == []


@pytest.mark.parametrize(
    ("deleted", "found"),
    [
        (GUIDES, ["value: rank = head"]),
        (f"({GUIDES} AND (rank <> 'head'::text))", []),
        (f"({GUIDES} AND (rank = 'guide'::text))", []),
    ],
)
def test_value_that_a_row_must_not_get(deleted: str, found: list[str]) -> None:
    checked = f"({GUIDES} AND (rank <> 'head'::text))"
    staff = policy(deleted, ALL, checked=checked)
    granted = frozenset({"authenticated DELETE"})
    seats = replace(table("seats", "club", "rank", policies=[staff]), granted=granted)
    project = catalog(seats, table("crew", "id", "club", "rank", oid=3), functions=[RANK])
    writes = UnevenWrites(project, usage.usage(project, words.load()))
    assert [f"{one.what}: {', '.join(one.columns)}" for one in writes.of_table(seats)] == found
    closed = replace(seats, granted=frozenset())
    assert [*writes.of_table(closed)] == []


SEES = f"(in_crew(club) AND ((NOT secret) OR {GUIDES}))"


@pytest.mark.parametrize(
    ("read", "new", "found"),
    [
        (SEES, "(in_crew(club) AND (writer = auth.uid()))", ["secret"]),
        (SEES, f"(in_crew(club) AND {GUIDES})", []),
        (SEES, "(in_crew(club) AND (NOT secret))", []),
        (SEES, OWN, []),
        ("(in_crew(club) AND (NOT secret))", "in_crew(club)", []),
        (f"({SEES} OR (writer = auth.uid()))", "in_crew(club)", []),
    ],
)
def test_flag_that_hides_rows_from_who_adds_them(read: str, new: str, found: list[str]) -> None:
    flag = column("secret", "bool")
    policies = [policy(read), policy(new, INSERT)]
    chat = table("chat", "id", "club", "writer", "diver", flag, policies=policies)
    chat = replace(chat, granted=frozenset({"authenticated INSERT"}))
    crew = table("crew", "id", "club", "rank", oid=3)
    project = catalog(chat, crew, functions=[RANK, IN_CREW])
    used = usage.usage(project, words.load())
    assert [name for one in unseen_flags.find(used, chat) for name in one.columns] == found


BANNED = function(
    "banned",
    "select exists (select 1 from bans where club = p_club and who = auth.uid())",
    oid=96,
    arguments=["p_club"],
)


@pytest.mark.parametrize(
    ("asked", "deleted", "found"),
    [
        ("(in_crew(club) AND (NOT banned(club)))", "in_crew(club)", ["who: public.banned(text)"]),
        ("(in_crew(club) AND (NOT banned(club)))", "(who <> auth.uid())", []),
        ("(in_crew(club) AND (NOT banned(club)))", "(in_crew(club) AND (NOT banned(club)))", []),
        ("(in_crew(club) AND banned(club))", "in_crew(club)", []),
    ],
)
def test_row_that_refuses_something_to_who_deletes_it(
    asked: str, deleted: str, found: list[str]
) -> None:
    bans = table("bans", "club", "who", policies=[policy(deleted, DELETE)])
    bans = replace(bans, granted=frozenset({"authenticated DELETE"}))
    dives = table("dives", "id", "club", oid=2, policies=[policy(asked)])
    project = catalog(bans, dives, functions=[IN_CREW, BANNED])
    locks = own_locks.locks(project, usage.usage(project, words.load()))
    ended = [f"{one.columns[0]}: {one.other}" for one in own_locks.find(bans, locks)]
    assert ended == found
