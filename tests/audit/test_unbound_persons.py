"""The columns that say whose a row is, and that a policy for writes leaves free, without a
database.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from supabase_jobs.audit.catalog import Policy
from supabase_jobs.audit.policies import unbound_persons
from tests.audit.catalogs import ALL, DELETE, INSERT, UPDATE, policy, table

OWN = policy("(author = auth.uid())", UPDATE)
STAFF = policy("is_staff()", ALL)
MEMBER = policy("is_member(club)", INSERT)
KEPT = replace(policy("(author = auth.uid())", INSERT), permissive=False)


def of(
    *policies: Policy, bound: Sequence[str] = (), given: Sequence[str] = ()
) -> dict[str, list[str]]:
    notes = table("notes", "id", "club", "author", "helper", policies=policies)
    granted = frozenset({"authenticated INSERT", "authenticated UPDATE"})
    return dict(
        unbound_persons.find(
            replace(notes, granted=granted),
            ["author", "helper"],
            bound=bound,
            given=given,
            frozen=[],
        )
    )


@pytest.mark.parametrize(
    ("policies", "bound", "columns"),
    [
        ([MEMBER, OWN], [], {"author": ["insert"]}),
        ([MEMBER, policy("(author = auth.uid())")], [], {}),
        ([MEMBER], ["author"], {"author": ["insert"]}),
        ([policy("is_reviewer()", INSERT), OWN], [], {"author": ["insert"]}),
        ([policy("(author = auth.uid())", INSERT), STAFF, OWN], [], {}),
        (
            [policy("(club = (SELECT a.author FROM authors a))", INSERT), OWN],
            [],
            {"author": ["insert"]},
        ),
        (
            [
                policy("((author = auth.uid()) OR (helper = auth.uid()))", UPDATE),
                policy("(author = auth.uid())", DELETE),
            ],
            [],
            {"author": ["update"]},
        ),
        ([OWN, policy("is_member(club)", UPDATE)], [], {}),
        ([MEMBER, KEPT, OWN], [], {}),
    ],
    ids=[
        "whoever a row names changes it",
        "who only reads it may be its receiver",
        "a column that policies of another table bind",
        "a policy that asks for a role only",
        "the staff beside the author",
        "a column of the same name in a query",
        "who may do less replaces who may do more",
        "those who manage the row may give it to another",
        "a restrictive policy",
    ],
)
def test_columns_that_policies_leave_free(
    policies: Sequence[Policy], bound: Sequence[str], columns: dict[str, list[str]]
) -> None:
    assert of(*policies, bound=bound) == columns


def test_a_column_that_a_trigger_sets() -> None:
    assert of(MEMBER, OWN, given=["author"]) == {}
