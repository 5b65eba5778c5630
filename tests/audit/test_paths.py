"""The conditions of policies that each suffice, and what a repair may end of them; without a
database.
"""

import pytest

from supabase_jobs.audit.policies import expressions
from supabase_jobs.audit.repairs import paths
from supabase_jobs.audit.repairs.candidates import Demand, Edit
from tests.audit.catalogs import ALL, UPDATE, policy, table

OWN, HEAD = "(owner_id = auth.uid())", "is_head(auth.uid())"
EITHER = f"({OWN} OR {HEAD})"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("true", ["true"]),
        (EITHER, [OWN, HEAD]),
        ("((a = 1) OR ((b = 2) OR (c = 3)))", ["(a = 1)", "(b = 2)", "(c = 3)"]),
        (
            "(((a = 1) OR (b = 2)) AND (c = 3))",
            ["((a = 1)) and ((c = 3))", "((b = 2)) and ((c = 3))"],
        ),
        ("((a = 1) AND (b = 2))", ["((a = 1) AND (b = 2))"]),
        ("((a = 1) OR (a = 1))", ["(a = 1)"]),
        ("(EXISTS ( SELECT 1 FROM x WHERE ((a = 1) OR (b = 2))))",) * 2,
    ],
)
def test_conditions_that_each_suffice(text: str, found: list[str] | str) -> None:
    expected = [found] if isinstance(found, str) else found
    assert expressions.alternatives(text, 8) == expected
    assert all(expressions.is_expression(one) for one in expected)


def test_more_conditions_than_the_limit_are_one() -> None:
    assert expressions.alternatives("((a = 1) OR (b = 2) OR (c = 3))", 2) == [
        "((a = 1) OR (b = 2) OR (c = 3))"
    ]


def demand_of(given: Demand) -> list[str]:
    """The conditions that a repair may end."""
    found = paths.of_demand(given, NOTES, "authenticated")
    return [one.condition for one in found.ended]


READ, CHANGE = policy(EITHER), policy(OWN, UPDATE)
NOTES = table("notes", "id", "owner_id", "state", policies=[READ, CHANGE])


@pytest.mark.parametrize(
    ("given", "ended"),
    [
        (Demand([(NOTES, READ, Edit.OWNER)]), [OWN, HEAD]),
        (Demand([(NOTES, READ, Edit.DROP)]), [OWN, HEAD]),
        (Demand([(NOTES, READ, Edit.WITHOUT_ALTERNATIVE)], owner=HEAD), [HEAD]),
        (Demand(columns=(NOTES, "authenticated", "update", frozenset({"state"}))), [OWN]),
        (Demand(actions=frozenset({(NOTES.oid, "select")})), [OWN, HEAD]),
        (Demand(text="select"), []),
    ],
    ids=["limited", "dropped", "without one", "column", "restrictive policy", "other"],
)
def test_conditions_that_a_repair_may_end(given: Demand, ended: list[str]) -> None:
    assert demand_of(given) == ended


def test_an_act_passes_by_one_condition_only() -> None:
    found = paths.of_demand(Demand([(NOTES, READ, Edit.OWNER)]), NOTES, "authenticated")
    assert found.only(found.ended[1]) == (
        f'alter policy "policy r" on "public"."notes" using ({HEAD});'
    )
    assert found.only(None) == 'drop policy if exists "policy r" on "public"."notes";'


def test_condition_that_is_never_true_is_no_path() -> None:
    read = policy(f"({OWN} OR (auth.role() = 'service_role'))")
    notes = table("notes", "id", "owner_id", policies=[read])
    found = paths.of_demand(Demand([(notes, read, Edit.OWNER)]), notes, "authenticated")
    assert [one.condition for one in found.ended] == [OWN]


def test_condition_of_new_rows_is_a_path_beside_those_of_old_ones() -> None:
    both = policy(EITHER, ALL, checked=OWN)
    notes = table("notes", "id", "owner_id", policies=[both])
    found = paths.of_demand(Demand([(notes, both, Edit.OWNER)]), notes, "authenticated")
    head = found.ended[1]
    assert head.limited == f'alter policy "policy *" on "public"."notes" using ({HEAD});'
