"""What policies test in new rows and not in changed ones, without a database."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from supabase_jobs.audit.catalog import Policy
from supabase_jobs.audit.policies.tested import untested
from tests.audit.catalogs import ALL, INSERT, UPDATE, policy, table

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
