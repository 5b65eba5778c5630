"""All kinds of leak together: one cause is one finding."""

from typing import Any

import pytest

from supabase_jobs.audit.leaks import kinds
from tests.audit.leaks.tables import facts_of

_OWN = {"by": "stranger", "whose": "own"}
_UPDATE = {**_OWN, "does": "update"}
_ESCALATION = {
    "tables": {"public.profiles": {"columns": ["id", "is_admin", "body"], "per_user": True}},
    "tried": [
        {**_UPDATE, "table": "public.profiles", "column": "is_admin"},
        {**_UPDATE, "table": "public.profiles", "column": "plan"},
    ],
    "opened": [{"write": 0, "does": "select", "table": "public.notes"}],
}
_GIVEN: dict[str, Any] = {
    "tables": {"public.orders": {"columns": ["id", "price", "body"], "accepts_rows": False}},
    "tried": [
        {**_OWN, "table": "public.orders", "does": "insert", "outcome": "violates"},
        {**_UPDATE, "table": "public.orders", "column": "body"},
        {**_UPDATE, "table": "public.orders", "column": "price"},
    ],
}
_STATE = {"by": "anon", "does": "select", "whose": "other", "is_state": True}
_MAIL = {"public.notes": {"columns": ["id", "email"]}}


@pytest.mark.parametrize(
    ("case", "finds"),
    [
        (
            _ESCALATION,
            [
                "error privileged-column:public.profiles:update:plan",
                "error escalation:public.profiles:update:is_admin",
            ],
        ),
        (_GIVEN, ["error service-column:public.orders:update:price"]),
        (
            {**_GIVEN, "tried": _GIVEN["tried"][:2]},
            ["question given-row:public.orders"],
        ),
        (
            {
                "tables": _MAIL,
                "tried": [
                    {**_STATE, "row": 1, "part": "a is null"},
                    {**_STATE, "row": 2, "part": "a is null, b = x"},
                    {**_STATE, "row": 3, "part": "b = y"},
                ],
            },
            [
                "warning public:public.notes (a is null):select",
                "warning public:public.notes (b = y):select",
            ],
        ),
    ],
    ids=[
        "an update that opens something, of a column that decides about rights",
        "a column with a leak, in a row of which all columns are asked about",
        "all columns of a row",
        "a state with the conditions of another one",
    ],
)
def test_one_cause_is_one_finding(case: dict[str, Any], finds: list[str]) -> None:
    found = kinds.find(facts_of({}, case))
    assert [f"{leak.severity} {leak.id}" for leak in found] == finds
