"""The columns about which others may decide, by the policies of a table, without a database."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from supabase_jobs.audit.catalog import Policy
from supabase_jobs.audit.policies.decisions import Free, Meaning, free, loosened, unended
from tests.audit.catalogs import ALL, INSERT, SELECT, UPDATE, policy, table

MINE = "(owner = auth.uid())"
MEANINGS = {"price": Meaning.AMOUNT, "phase": Meaning.STATE, "paid_at": Meaning.TIME}
MEANINGS |= {"wish": Meaning.STATED}
OFFICE = replace(policy("in_office()", UPDATE), name="office")


def of(*policies: Policy) -> Free | None:
    notes = table("notes", "owner", "price", "phase", "paid_at", "wish", "judge", policies=policies)
    granted = frozenset({"authenticated INSERT", "authenticated UPDATE"})
    return free(replace(notes, granted=granted), "authenticated", ["owner", "judge"], MEANINGS)


@pytest.mark.parametrize(
    ("policies", "columns"),
    [
        (
            [policy(f"({MINE} AND (phase = 'asked'::text))", INSERT)],
            {"price": ["insert"], "paid_at": ["insert"]},
        ),
        (
            [policy(f"({MINE} AND (phase = 'asked'::text))", UPDATE, checked=MINE)],
            {"price": ["update"], "phase": ["update"], "paid_at": ["update"]},
        ),
        ([policy(MINE, ALL)], {"phase": ["insert", "update"], "paid_at": ["insert", "update"]}),
        ([policy(f"({MINE} AND is_fair(price, phase, paid_at))", INSERT)], {}),
        (
            [
                policy(MINE, INSERT),
                replace(policy("((price = 1) AND (paid_at IS NULL))", INSERT), permissive=False),
            ],
            {"phase": ["insert"]},
        ),
    ],
    ids=["request", "step", "whoever manages the row sets its amount", "helper", "restrictive"],
)
def test_columns_that_a_policy_leaves_to_the_person_in_a_row(
    policies: Sequence[Policy], columns: dict[str, list[str]]
) -> None:
    assert of(*policies, OFFICE) == Free(persons=["owner"], columns=columns, deciders=["office"])


def test_numbers_of_a_row_that_only_others_add() -> None:
    added = policy("in_office()", INSERT)
    columns = {name: ["update"] for name in ("price", "phase", "paid_at", "wish")}
    found = of(policy(MINE, UPDATE), added, OFFICE)
    assert found == Free(persons=["owner"], columns=columns, deciders=["office"])


def test_column_in_which_others_sign_their_decision() -> None:
    signing = policy("in_office()", UPDATE, checked="(in_office() AND (judge = auth.uid()))")
    signing = replace(signing, name="office")
    asked = f"({MINE} AND (phase = 'asked'::text) AND (paid_at IS NULL) AND (price IS NULL))"
    found = of(policy(asked, INSERT), signing)
    assert found == Free(persons=["owner"], columns={"judge": ["insert"]}, deciders=["office"])
    assert of(policy(asked.replace("phase", "judge"), INSERT), signing) == Free(
        persons=["owner"], columns={"phase": ["insert"]}, deciders=["office"]
    )


@pytest.mark.parametrize(
    "policies",
    [
        [policy(MINE, ALL)],
        [policy(MINE, ALL), policy("in_office()", SELECT), policy("in_office()", INSERT)],
        [policy(MINE, ALL), policy("true", UPDATE)],
        [policy("in_office()", ALL), OFFICE],
        [replace(policy(MINE, ALL), roles=("anon",)), OFFICE],
    ],
    ids=["nobody else", "others read and add", "everybody", "no person", "another role"],
)
def test_nobody_else_decides(policies: Sequence[Policy]) -> None:
    assert of(*policies) is None


def test_column_that_is_not_granted() -> None:
    mine = policy(MINE, ALL)
    notes = table("notes", "owner", "phase", policies=[mine, OFFICE])
    found = free(notes, "authenticated", ["owner"], MEANINGS)
    assert found == Free(persons=["owner"], columns={}, deciders=["office"])


SIDES = ["school", "shop"]
ASKED = "((school = my_firm()) AND (phase = 'asked'::text))"


@pytest.mark.parametrize(
    ("changed", "columns"),
    [
        ("(my_firm() = ANY (ARRAY[school, shop]))", {"phase": ["update"]}),
        ("(((school = my_firm()) OR (shop = my_firm())) AND is_head())", {"phase": ["update"]}),
        ("((my_firm() = ANY (ARRAY[school, shop])) AND (phase = 'asked'::text))", None),
        ("((school = my_firm()) AND is_head())", None),
        ("(shop = my_firm())", None),
    ],
    ids=["both sides", "their heads", "tested", "one side", "the other side"],
)
def test_column_that_both_sides_change(changed: str, columns: dict[str, list[str]] | None) -> None:
    policies = [policy(ASKED, INSERT), replace(policy(changed, UPDATE), name="both")]
    orders = table("orders", "school", "shop", "phase", policies=policies)
    found = loosened(orders, "authenticated", SIDES)
    expected = columns and Free(persons=["school"], columns=columns, deciders=["both"])
    assert found == expected


@pytest.mark.parametrize(
    ("changing", "ends"),
    [
        (policy(MINE, UPDATE), ["paid_at"]),
        (policy(f"({MINE} AND (paid_at IS NULL))", UPDATE, checked=MINE), []),
        (policy(MINE, UPDATE, checked=f"({MINE} AND (paid_at IS NULL))"), []),
        (policy("in_office()", UPDATE), []),
        (policy(MINE, INSERT), []),
    ],
    ids=["no test", "test of the old row", "test of the new row", "others", "new rows"],
)
def test_rows_that_change_after_their_end(changing: Policy, ends: list[str]) -> None:
    notes = table("notes", "owner", "paid_at", policies=[changing])
    assert unended(notes, "authenticated", ["owner"], ["paid_at"]) == ends
    locked = replace(policy("(paid_at IS NULL)", UPDATE), permissive=False)
    notes = table("notes", "owner", "paid_at", policies=[changing, locked])
    assert unended(notes, "authenticated", ["owner"], ["paid_at"]) == []
