"""The conditions of policies that each suffice, and what a repair may end of them; without a
database.
"""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.leaks import escalation, function_reads
from supabase_jobs.audit.leaks.leak import ExplainedLeak
from supabase_jobs.audit.policies import parse_trees, printed
from supabase_jobs.audit.policies.usage import usage
from supabase_jobs.audit.repairs import fixes, paths
from supabase_jobs.audit.repairs.candidates import alternatives
from supabase_jobs.audit.repairs.demand import Demand, Edit, Grant, Script
from supabase_jobs.audit.rows.plan import make_plan
from supabase_jobs.findings import Explanation, Severity
from tests.audit.catalogs import ALL, INSERT, UPDATE, catalog, column, function, policy, table

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
    assert printed.alternatives(text, 8) == expected
    assert all(parse_trees.is_expression(one) for one in expected)


def test_more_conditions_than_the_limit_are_one() -> None:
    assert printed.alternatives("((a = 1) OR (b = 2) OR (c = 3))", 2) == [
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
        (Demand(grants=[Grant(NOTES, "authenticated", "update", frozenset({"state"}))]), [OWN]),
        (Demand(script=Script(actions=frozenset({(NOTES.oid, "select")}))), [OWN, HEAD]),
        (Demand(script=Script(text="select")), []),
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


@pytest.mark.parametrize(
    ("default", "is_offered"), [(None, False), ("gen_random_uuid()", True)], ids=["none", "default"]
)
def test_column_that_each_new_row_must_have_stays_granted(
    default: str | None, is_offered: bool
) -> None:
    needed = replace(column("list_id", "uuid"), default=default)
    notes = table("notes", "id", needed, policies=[policy("true", INSERT)])
    found = catalog(notes)
    plan = make_plan(found, usage.usage(found, words.load()), words.load())
    caller = SimpleNamespace(role="authenticated", ended=None, kind="newcomer", tenant=None)
    one: Any = SimpleNamespace(
        relation=notes,
        attempt=SimpleNamespace(
            action="insert",
            caller=caller,
            name="",
            row=SimpleNamespace(part=None),
            written={},
        ),
        policies=notes.policies,
        leak=SimpleNamespace(kind=escalation.KIND),
        change=None,
        guard=None,
        droppable=False,
        is_deviation=False,
        is_of_column=True,
        column="list_id",
    )
    offered = [demand for demand in alternatives(plan, one) if demand.grants]
    assert bool(offered) == is_offered


@pytest.mark.parametrize(
    ("checked", "is_permitted"),
    [
        ("(state = 'done')", True),
        ("('done' = state)", True),
        ("(3 >= state)", True),
        ("('open' = state)", False),
        ("('done' <> state)", False),
    ],
)
def test_value_that_a_policy_names_on_either_side(checked: str, is_permitted: bool) -> None:
    both = policy(OWN, UPDATE, checked=checked)
    notes = table("notes", "id", "owner_id", "state", policies=[both])
    attempt: Any = SimpleNamespace(
        relation=notes,
        caller=SimpleNamespace(role="authenticated"),
        action="update",
        column="state",
        written={"state": "done"},
    )
    taken = Demand(grants=[Grant(notes, "authenticated", "update", frozenset({"state"}))])
    assert list(paths.permitting(taken, attempt, is_of_column=True)) == [both] * is_permitted


@pytest.mark.parametrize(("operator", "is_asked"), [("ilike", True), ("like", True), ("=", False)])
def test_repair_of_a_function_that_takes_a_pattern_asks(operator: str, is_asked: bool) -> None:
    body = f"select id from public.coupons where code {operator} given"
    found_by = replace(function("coupon", body, arguments=["given"]), definer=True)
    found = catalog(table("coupons", "id", "code"), functions=[found_by])
    plan = make_plan(found, usage.usage(found, words.load()), words.load())
    leak = ExplainedLeak(
        kind=function_reads.KIND,
        severity=Severity.ERROR,
        object=found_by.signature,
        message="",
        name="",
        explanation=Explanation(cause="", fix="revoke"),
    )
    demands = list(fixes.of_object(plan, leak))
    assert [bool(demand.asks) for demand in demands] == [is_asked, is_asked]
    assert all("given as a pattern" in demand.asks for demand in demands if is_asked)
