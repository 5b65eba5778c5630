"""Columns of one's own row at which something else of the project looks, without a database."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Column, Function, Policy
from supabase_jobs.audit.policies.decided_elsewhere import DecidedElsewhere
from supabase_jobs.audit.policies.tested import Closed
from supabase_jobs.audit.policies.usage import usage
from tests.audit.catalogs import INSERT, SELECT, UPDATE, catalog, column, function, policy, table

OWN, STAFF = "(sailor = auth.uid())", "is_staff(berth)"
MINE = policy(OWN, UPDATE)
PASSES = "select exists (select 1 from berths where berth = p_berth and sailor = auth.uid()"
HELPER = function("may_moor", f"{PASSES} and phase = 'paid')", oid=90, arguments=["p_berth"])
MOORS = policy("may_moor(berth)")
LEAVES = replace(
    function(
        "leave",
        "begin if auth.uid() is null then raise exception 'no'; end if;"
        " update berths set left_at = now() where berth = p_berth; end",
        oid=91,
        language="plpgsql",
        arguments=["p_berth"],
    ),
    definer=True,
    volatility="v",
    result="void",
)
CLOSED = {"shown": Closed(["true", "false"], ["true"])}


def _number(name: str, default: str | None = None) -> Column:
    return replace(column(name, "int4"), category="N", default=default)


def elsewhere(
    *policies: Policy,
    functions: Sequence[Function] = (HELPER,),
    triggers: Mapping[int, str] | None = None,
    per_user: bool = False,
) -> dict[str, list[str]]:
    """The columns of berths, with what looks at them."""
    bodies = dict(triggers or {})
    berths = table(
        "berths",
        "berth",
        "sailor",
        "phase",
        replace(column("shown", "bool"), default="true"),
        column("left_at", "timestamptz", not_null=False),
        _number("fee"),
        _number("lines", "2"),
        policies=policies,
    )
    granted = frozenset({"authenticated INSERT", "authenticated UPDATE", "authenticated SELECT"})
    berths = replace(berths, granted=granted, triggers=tuple(bodies), insert_triggers=())
    boats = table("boats", "id", "berth", oid=2, policies=[MOORS])
    guards = [
        replace(function(f"t{oid}", body, oid=oid, language="plpgsql"), result="trigger")
        for oid, body in bodies.items()
    ]
    project = catalog(berths, boats, functions=[*functions, *guards])
    used = usage.usage(project, words.load())
    found = DecidedElsewhere(project, used, [1] if per_user else []).of_table(berths, CLOSED)
    return {} if found is None else {name: [*places] for name, places in found.columns.items()}


def test_helper_that_asks_for_the_state() -> None:
    assert elsewhere(MINE) == {"phase": ["public.may_moor(text)"]}
    assert elsewhere(policy(OWN, UPDATE, checked=f"({OWN} AND (phase = 'asked'::text))")) == {}
    assert elsewhere(policy(STAFF, UPDATE)) == {}


def test_function_that_sets_it_after_checks() -> None:
    assert elsewhere(MINE, functions=[LEAVES]) == {"left_at": ["public.leave(text)"]}
    unchecked = replace(LEAVES, body=LEAVES.body.replace("raise exception 'no'", "return"))
    assert elsewhere(MINE, functions=[unchecked]) == {}


@pytest.mark.parametrize(
    ("new", "found"),
    [
        (f"({OWN} AND (lines = 2))", {"lines": ['policy "policy a"']}),
        # who adds the row states the number, and somebody else changes it
        (STAFF, {"fee": ['policy "policy a"']}),
        (OWN, {}),
    ],
)
def test_policy_for_new_rows(new: str, found: dict[str, list[str]]) -> None:
    assert elsewhere(MINE, policy(new, INSERT), functions=[]) == found


def test_policy_that_shows_the_row_until_somebody_hides_it() -> None:
    shown = policy("shown", SELECT)
    assert elsewhere(MINE, shown, functions=[]) == {"shown": ['policy "policy r"']}
    assert elsewhere(MINE, policy(f"(shown AND {OWN})", SELECT), functions=[]) == {}
    assert elsewhere(MINE, policy("(NOT shown)", SELECT), functions=[]) == {}
    assert elsewhere(MINE, shown, functions=[], per_user=True) == {}


def test_limit_of_a_row_that_nobody_adds() -> None:
    guard = "begin if new.phase <> old.phase then raise exception 'no'; end if; return new; end"
    limit = function("moored", "select lines from berths", oid=92)
    staff = policy(STAFF, UPDATE)
    assert elsewhere(staff, functions=[limit], triggers={99: guard}) == {
        "lines": ["public.moored()"]
    }
    assert elsewhere(staff, functions=[], triggers={99: guard}) == {}
    assert elsewhere(staff, functions=[limit]) == {}
    added = policy(STAFF, INSERT)
    assert elsewhere(staff, added, functions=[limit], triggers={99: guard}) == {}
