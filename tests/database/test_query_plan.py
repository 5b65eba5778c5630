"""Reading plans: the calls that run for each row, indexes, sorts and conditions."""

from typing import Any

import pytest

from supabase_jobs.database import query_plan


def scan(condition: str, *children: dict[str, Any], key: str = "Filter") -> dict[str, Any]:
    """A sequential scan with a condition, as EXPLAIN shows it."""
    return {"Node Type": "Seq Scan", "Relation Name": "t", key: condition, "Plans": list(children)}


def sub_select(kind: str, **node: str) -> dict[str, Any]:
    return {"Node Type": "Result", "Parent Relationship": kind, **node}


@pytest.mark.parametrize(
    ("condition", "calls"),
    [
        ("(t.a = private.me())", ["private.me()"]),
        ('(t.a = "My Schema"."is ""me"""(t.a))', ['"My Schema"."is ""me"""()']),
        (
            "(t.a = (NULLIF(current_setting('x'::text, true), ''::text))::uuid)",
            ["current_setting()"],
        ),
        ("(t.a = (SubPlan 2))", ["a sub-select (SubPlan 2)"]),
        ("EXISTS(SubPlan 1)", ["a sub-select (SubPlan 1)"]),
        ("(private.a(t.a) AND private.b(t.a))", ["private.a()", "private.b()"]),
    ],
)
def test_calls_per_row_are_found(condition: str, calls: list[str]) -> None:
    assert list(query_plan.per_row(scan(condition))) == calls


@pytest.mark.parametrize(
    "key", ["Filter", "Join Filter", "Index Cond", "Recheck Cond", "Hash Cond", "Order By"]
)
def test_calls_are_found_in_every_condition(key: str) -> None:
    assert query_plan.per_row(scan("(t.a = private.me())", key=key)) == {
        "private.me()": "(t.a = private.me())"
    }


@pytest.mark.parametrize(
    "condition",
    [
        "(t.a = $0)",
        "(t.a = (InitPlan 1).col1)",
        "(hashed SubPlan 1)",
        "(ANY (t.a = (hashed SubPlan 1).col1))",
        "(t.a = 'auth.uid() current_setting(1) SubPlan 1'::text)",
        "(t.a = 'it''s auth.uid()'::text)",
        "(t.a = E'\\\\ auth.uid()'::text)",
        '(t."auth.uid()" = lower(t.b))',
        "(t.status = ANY ('{a,b}'::text[]))",
        "(t.at < (now() - '7 days'::interval))",
    ],
)
def test_lookalikes_are_no_calls_per_row(condition: str) -> None:
    assert query_plan.per_row(scan(condition)) == {}


@pytest.mark.parametrize("kind", ["InitPlan", "SubPlan"])
def test_calls_inside_a_sub_select_are_ignored(kind: str) -> None:
    assert (
        query_plan.per_row(scan("(t.a = $0)", sub_select(kind, Filter="(auth.uid() = u.id)"))) == {}
    )


def test_output_and_one_time_filter_are_ignored() -> None:
    plan = {
        "Node Type": "Result",
        "Output": ["private.me()"],
        "One-Time Filter": "(private.me() IS NOT NULL)",
    }
    assert query_plan.per_row(plan) == {}


def test_calls_of_children_are_found() -> None:
    plan = {
        "Node Type": "Append",
        "Plans": [{**scan("private.me()"), "Parent Relationship": "Member"}],
    }
    assert list(query_plan.per_row(plan)) == ["private.me()"]


def test_indexes_sorts_and_proofs() -> None:
    index = {"Node Type": "Index Scan", "Index Name": "i", "Parent Relationship": "Outer"}
    plan = {"Node Type": "Incremental Sort", "Plans": [index]}
    assert (query_plan.indexes(plan), query_plan.sorts(plan), query_plan.sorts(index)) == (
        {"i"},
        True,
        False,
    )
    assert query_plan.scans(plan) == "Index Scan on i"
    assert query_plan.is_empty(
        {"Node Type": "Limit", "Plans": [{"Node Type": "Result", "One-Time Filter": "false"}]}
    )
    assert not query_plan.is_empty(
        {"Node Type": "Result", "One-Time Filter": "(auth.uid() IS NULL)"}
    )


@pytest.mark.parametrize(
    ("name", "value"), [("InitPlan 1", "(InitPlan 1).col1"), ("InitPlan 1 (returns $0)", "$0")]
)
def test_conditions_contain_the_sub_selects(name: str, value: str) -> None:
    result = sub_select("InitPlan", **{"Subplan Name": name})
    plan = {
        **scan(f"((t.a = {value}) AND t.b)", {**result, "Output": ["auth.uid()"]}),
        "Schema": "s",
        "Alias": "x",
    }
    assert list(query_plan.conditions(plan, ["s.t"])) == [
        ("x", "((t.a = (select auth.uid())) AND t.b)")
    ]
    assert list(query_plan.conditions(plan, ["s.other"])) == []
    reads = {**result, "Output": ["u.id"], "Node Type": "Seq Scan"}
    plan = {**scan(f"(t.a = {value})", reads), "Schema": "s", "Alias": "x"}
    assert list(query_plan.conditions(plan, ["s.t"])) == [("x", f"(t.a = {value})")]
