"""All kinds of leak together: one cause is one finding."""

from typing import Any

import pytest

from supabase_jobs.audit.leaks import kinds
from tests.audit.leaks.tables import facts_of

_OWN = {"by": "stranger", "whose": "own"}
_UPDATE = {**_OWN, "does": "update"}
_ESCALATION: dict[str, Any] = {
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
_STATE = {"by": "anon", "does": "select", "whose": "other"}
_SIDES: dict[str, Any] = {
    "tables": {
        "public.visits": {
            "columns": ["id", "phase"],
            "untested": {"authenticated": {"phase": ["asked"]}},
        }
    },
    "callers": {"host of visits": {"kind": "member", "link": "public.visits"}},
    "tried": [
        {**_UPDATE, "table": "public.visits", "column": "phase", "value": "done"},
        {
            **{**_UPDATE, "by": "host of visits"},
            "table": "public.visits",
            "column": "phase",
            "value": "done",
        },
    ],
}
_DECIDED: dict[str, Any] = {
    "tables": {
        "public.bills": {
            "columns": ["id", "user_id", "phase", "sum"],
            "persons": ["user_id"],
            "deciders": ["office"],
            "chosen": {"phase": ["update"]},
            "managed": ["phase"],
        }
    },
    "tried": [{**_UPDATE, "table": "public.bills", "column": "phase", "value": "done"}],
}
_BILLED = {**_UPDATE, "table": "public.bills", "column": "phase", "value": "done"}
_READ = {"by": "member", "does": "select", "whose": "group"}
_UNTESTED = {"untested": {"authenticated": {"phase": ["asked"]}}}
_BILLS = _DECIDED["tables"]["public.bills"]
_OPENS = [{"does": "select", "table": "public.notes"}]
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
            {**_SIDES, "opened": [{**_OPENS[0], "write": 1}]},
            [
                "warning untested-column:public.visits:update",
                "error escalation:public.visits:update:phase",
            ],
        ),
        (
            {**_SIDES, "opened": [{**_OPENS[0], "write": 0}]},
            ["error escalation:public.visits:update:phase"],
        ),
        (_DECIDED, ["question decided-column:public.bills"]),
        (
            {
                "tables": {
                    "public.bills": {**_BILLS, **_UNTESTED, "chosen": {}, "managed": []},
                },
                "stated": {"public.bills": ["phase"]},
                "tried": [_BILLED, {**_READ, "table": "public.bills"}],
            },
            ["warning untested-column:public.bills:update"],
        ),
        (
            {
                "tables": {"public.cards": {"per_user": True, "from_zero": ["laps"]}},
                "stated": {"public.cards": ["laps"]},
                "tried": [
                    {**_UPDATE, "table": "public.cards", "column": "laps"},
                    {**_READ, "table": "public.cards"},
                ],
            },
            ["question service-column:numbers from 0"],
        ),
        (
            {**_DECIDED, "tables": {"public.bills": {**_BILLS, "chosen": {"sum": ["insert"]}}}},
            ["question service-column:public.bills", "question decided-column:public.bills"],
        ),
        (
            {
                "tables": {"public.bills": {**_BILLS, "managed": []}},
                "callers": {"clerk": {"kind": "claim"}},
                "tried": [
                    {**_BILLED, "outcome": "hidden"},
                    {**_BILLED, "by": "forger"},
                    {**_BILLED, "by": "clerk"},
                ],
            },
            [
                "warning forged-claim:public.bills:update",
                "question decided-column:public.bills",
            ],
        ),
        (
            {**_DECIDED, "tables": {"public.bills": {**_BILLS, "loose": ["phase"], "managed": []}}},
            ["question service-column:public.bills:update"],
        ),
        (
            {
                **_DECIDED,
                "tables": {
                    "public.bills": {**_BILLS, **_UNTESTED, "chosen": {"phase": ["update"]}}
                },
            },
            ["warning untested-column:public.bills:update"],
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
        "a column that the host sets, who then reads more, and that the guest sets untested",
        "a column by which the guest reads more",
        "a column about which others decide, and functions too",
        "a column that others read, and that a policy tests in new rows",
        "a number that others read, and that starts at 0 in each row of a user",
        "two columns, about one of which others decide",
        "a column about which others decide, in a row that a claim opens",
        "a column about which others decide, and a trigger unless it is null",
        "a column about which others decide, and that a policy tests in new rows",
        "a state with the conditions of another one",
    ],
)
def test_one_cause_is_one_finding(case: dict[str, Any], finds: list[str]) -> None:
    found = kinds.find(facts_of({}, case))
    assert [f"{leak.severity} {leak.id}" for leak in found] == finds


def test_kinds_that_only_ask_are_left_out() -> None:
    tables = {**_DECIDED["tables"], **_ESCALATION["tables"]}
    tried = [*_ESCALATION["tried"], *_DECIDED["tried"]]
    facts = facts_of({}, {**_ESCALATION, "tables": tables, "tried": tried})
    every, some = kinds.find(facts), kinds.find(facts, with_questions=False)
    asking = {
        module.KIND.code
        for module in kinds.MODULES
        if not any(severity.is_problem for severity in module.KIND.severities)
    }
    assert asking & {leak.kind.code for leak in every}
    assert not asking & {leak.kind.code for leak in some}
    known = [leak.id for leak in every if leak.severity.is_problem]
    assert [leak.id for leak in some if leak.severity.is_problem] == known != []
