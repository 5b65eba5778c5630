"""Columns that policies test in new rows and not in changed ones, without a database."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from supabase_jobs.audit.catalog import Policy
from supabase_jobs.audit.policies.tested import (
    Closed,
    Left,
    beside,
    demanded,
    kept,
    later,
    left,
    untested,
)
from tests.audit.catalogs import ALL, INSERT, UPDATE, column, policy, table

OWN = "(owner = me())"
ANY = frozenset[str]()


def of(*policies: Policy) -> dict[str, Collection[str]]:
    notes = table("notes", "id", "owner", "place", "phase", "day", "done", policies=policies)
    return dict(untested(notes, "authenticated", ["owner"]))


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("(place = 900)", {"place": {"900"}}),
        ("(phase = ANY (ARRAY['new'::text, 'asked'::text]))", {"phase": {"new", "asked"}}),
        ("(phase IS NULL)", {"phase": {""}}),
        ("(NOT done)", {"done": {"false", "f"}}),
        ("done", {"done": {"true", "t"}}),
        ("((day >= (CURRENT_DATE - 1)) AND (day <= now()))", {"day": ANY}),
        ("((phase = 'new'::text) AND (phase = lower('NEW'::text)))", {"phase": {"new"}}),
        ("(phase IS NOT NULL)", {}),
        ("(phase <> 'paid'::text)", {}),
        ("((place >= 1) AND (place <= 5))", {}),
        ("(length(phase) < 9)", {}),
        ("(NOT is_closed(day))", {}),
        ("(place = id)", {}),
        ("(place = (SELECT max(n) FROM places))", {}),
        ("(phase = (auth.jwt() ->> 'phase'::text))", {}),
    ],
)
def test_condition_of_a_new_row(condition: str, found: dict[str, set[str]]) -> None:
    assert of(policy(f"({OWN} AND {condition})", INSERT), policy(OWN, UPDATE)) == found


def test_columns_that_only_policies_for_changed_rows_name() -> None:
    def of_each(*policies: Policy) -> set[str]:
        return {*later(table("notes", "owner", "place", "phase", policies=policies), "anon")}

    changing = policy(f"({OWN} AND (phase <> 'paid'::text))", UPDATE)
    assert of_each(policy(OWN, INSERT), changing) == {"phase"}
    assert of_each(policy(OWN, INSERT), changing, policy("(phase = 'old'::text)", UPDATE)) == {
        "phase"
    }
    named = policy("is_first(phase)", INSERT)
    others = [
        [policy(OWN, INSERT), changing, policy("is_clerk()", UPDATE)],
        [policy(OWN, INSERT), replace(named, permissive=False), changing],
        [policy(OWN, INSERT), named, changing],
        [policy(OWN, ALL), changing],
        [changing],
        [policy(OWN, INSERT)],
        [policy(OWN, INSERT), replace(changing, permissive=False)],
        [policy(OWN, INSERT), replace(changing, roles=("authenticated",))],
    ]
    assert [of_each(*each) for each in others] == [set()] * len(others)


NEW = f"({OWN} AND (place = 900))"


@pytest.mark.parametrize(
    "changing",
    [
        policy(OWN, UPDATE, checked=f"({OWN} AND (place < 1000))"),
        policy(f"({OWN} AND (place = 900))", UPDATE),
        policy("is_clerk()", UPDATE),
        policy(f"({OWN} AND is_free(place))", UPDATE),
    ],
    ids=["checked", "visible", "others", "helper"],
)
def test_change_that_is_tested_or_is_that_of_others(changing: Policy) -> None:
    assert of(policy(NEW, INSERT), changing) == {}


def test_old_row_is_not_the_new_one() -> None:
    changing = policy(f"({OWN} AND (place = 900))", UPDATE, checked=OWN)
    assert of(policy(NEW, INSERT), changing) == {"place": {"900"}}


def test_column_of_the_caller_is_that_of_the_same_caller() -> None:
    new = policy("((owner = auth.uid()) AND (place = 900))", INSERT)
    changing = policy("(owner = ( SELECT auth.uid() AS uid))", UPDATE)
    assert of(new, changing) == {"place": {"900"}}


def test_policy_that_accepts_the_value_too() -> None:
    assert of(policy(NEW, INSERT), policy(OWN, INSERT), policy(OWN, UPDATE)) == {}
    other = policy(f"({OWN} AND (place = 800))", INSERT)
    assert of(policy(NEW, INSERT), other, policy(OWN, UPDATE)) == {"place": {"900", "800"}}
    assert of(policy(NEW, INSERT), policy("is_clerk()", ALL), policy(OWN, UPDATE)) != {}


def test_restrictive_policies_hold_for_all() -> None:
    new = replace(policy("(place = 900)", INSERT), permissive=False)
    changed = replace(policy("(place < 999)", UPDATE), permissive=False)
    assert of(policy(OWN, ALL), new) == {"place": {"900"}}
    assert of(policy(OWN, ALL), new, changed) == {}
    assert of(policy("is_clerk()", UPDATE), new) == {}


def test_policies_of_another_role() -> None:
    new, changing = policy(NEW, INSERT), policy(OWN, UPDATE)
    assert of(replace(new, roles=("anon",)), changing) == {}


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("(grade < 'chief'::text)", {"helper", "clerk"}),
        ("(grade >= 'clerk'::text)", {"clerk", "chief"}),
        ("(grade <> 'chief'::text)", {"helper", "clerk"}),
        ("(grade > 'boss'::text)", None),
    ],
)
def test_labels_of_an_enum_are_in_order(condition: str, values: set[str] | None) -> None:
    grade = replace(column("grade"), labels=("helper", "clerk", "chief"))
    new, changed = policy(f"({OWN} AND {condition})", INSERT), policy(OWN, UPDATE)
    notes = table("notes", "owner", grade, policies=[new, changed])
    found = untested(notes, "authenticated", ["owner"])
    assert found == ({} if values is None else {"grade": values})


def test_what_some_policy_tests_in_changed_rows() -> None:
    changed = policy(OWN, UPDATE, checked=f"({OWN} AND (phase = 'new'::text))")
    notes = table("notes", "owner", "phase", policies=[changed, policy("is_clerk()", UPDATE)])
    assert kept(notes, "authenticated") == {"phase"}


MINE = "(owner = auth.uid())"
CLOSED = {"phase": Closed(["barred", "lost", "held", "new"], ["held", "new"])}


@pytest.mark.parametrize(
    ("changed", "inserted", "values"),
    [
        (f"({MINE} AND (phase = 'held'::text))", (), ["barred", "lost"]),
        (f"({MINE} AND (phase <> 'barred'::text))", (), None),
        (
            f"({MINE} AND (phase = 'held'::text))",
            (f"({MINE} AND (phase = 'lost'::text))",),
            ["barred"],
        ),
        (f"({MINE} AND (phase = 'held'::text))", (MINE,), ["barred", "lost"]),
        (f"({MINE} AND (phase = 'held'::text))", ("is_clerk()",), None),
        (
            f"({MINE} AND (phase = 'held'::text))",
            ("(is_clerk() AND (phase = 'lost'::text))",),
            ["barred"],
        ),
        (f"({MINE} AND (phase = 'lost'::text))", (), None),
        (f"({MINE} AND (place = 1))", (), None),
    ],
)
def test_states_that_only_others_set(
    changed: str, inserted: tuple[str, ...], values: list[str] | None
) -> None:
    policies = [policy(MINE, UPDATE, checked=changed)] + [policy(i, INSERT) for i in inserted]
    notes = table("notes", "owner", "phase", "place", policies=policies)
    found = left(notes, "authenticated", ["owner"], CLOSED)
    assert found == ({} if values is None else {"phase": Left(values, ["held"])})


@pytest.mark.parametrize(
    "changing",
    [
        policy(f"({MINE} AND (phase = 'held'::text))", UPDATE),
        policy(f"({MINE} AND is_open(phase))", UPDATE, checked="(phase = 'held'::text)"),
        policy("is_clerk()", UPDATE, checked="(phase = 'held'::text)"),
        policy("is_mine(owner)", UPDATE, checked="(phase = 'held'::text)"),
    ],
    ids=["one condition", "helper", "others", "helper of the owner"],
)
def test_old_row_is_looked_at_or_is_that_of_others(changing: Policy) -> None:
    notes = table("notes", "owner", "phase", policies=[changing])
    assert left(notes, "authenticated", ["owner"], CLOSED) == {}


def test_constants_that_a_policy_demands_of_any_table() -> None:
    asked = policy(
        "(EXISTS ( SELECT FROM lists l WHERE ((l.phase = 'open'::text) AND (l.n > 1) AND (NOT l.barred))))"
    )
    assert demanded(asked) == [("phase", "open"), ("barred", "false")]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("(phase = 'new'::text)", "(phase = 'done'::text)", {"id", "place", "day", "done"}),
        ("(day IS NULL)", "(day IS NOT NULL)", {"id", "place", "phase", "done"}),
        ("(phase = 'new'::text)", "(phase = ANY (ARRAY['new'::text, 'done'::text]))", set()),
        ("(day IS NULL)", "(place = 900)", set()),
        ("(phase = 'new'::text)", "true", set()),
    ],
)
def test_columns_that_change_beside_one_that_has_to(old: str, new: str, found: set[str]) -> None:
    change = policy(f"({OWN} AND {old})", UPDATE, checked=f"({OWN} AND {new})")
    notes = table("notes", "id", "owner", "place", "phase", "day", "done", policies=[change])
    assert beside(notes, "authenticated") == found
    assert beside(notes, "anon") == found
