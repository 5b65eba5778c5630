"""Read the output of `explain (verbose, format json)`: the indexes of a plan, and the calls that
run for each row.

Expects plans that were made with an empty search_path: they qualify every function outside
pg_catalog.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

QueryPlan = dict[str, Any]

# properties that a node evaluates for each row; a One-Time Filter and the Output are not among them
_CONDITIONS = (
    "Filter",
    "Join Filter",
    "Index Cond",
    "Recheck Cond",
    "Hash Cond",
    "Merge Cond",
    "TID Cond",
    "Order By",
)
_SORTS = ("Sort", "Incremental Sort")

# functions of pg_catalog that identify the caller: they read a setting, often as JSON
_CALLER_FUNCTIONS = ("current_setting",)

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
# string literals match first and are ignored; a name directly before a parenthesis is a call
_TOKEN = re.compile(
    rf"E?'(?:[^']|'')*'|(?P<hashed>hashed SubPlan)|(?P<subplan>SubPlan \d+)"
    rf"|(?P<call>{_NAME}(?:\.{_NAME})*)(?P<open>\()?"
)

# the names of sub-selects: "InitPlan 1", and "InitPlan 1 (returns $0)" before PostgreSQL 17
_RESULT = re.compile(r"\$\d+|^InitPlan \d+$")
_VALUE = re.compile(r"\$\d+|\(InitPlan \d+\)\.col\d+")


def nodes(plan: QueryPlan) -> Iterator[QueryPlan]:
    """Every node of a plan, including its sub-selects."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def indexes(plan: QueryPlan) -> set[str]:
    """The names of the indexes in a plan. EXPLAIN prints them without schema."""
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


def sorts(plan: QueryPlan) -> bool:
    """Whether the plan contains a sort."""
    return any(node["Node Type"] in _SORTS for node in nodes(plan))


def is_empty(plan: QueryPlan) -> bool:
    """Whether the planner has proved that the statement returns no row."""
    return any(node.get("One-Time Filter") == "false" for node in nodes(plan))


def scans(plan: QueryPlan) -> str:
    """The scans of a plan as text: `Index Scan on idx_b`, `Seq Scan on t`."""
    named = [
        f"{node['Node Type']} on {node.get('Index Name') or node.get('Relation Name')}"
        for node in nodes(plan)
        if "Scan" in node["Node Type"] and (node.get("Index Name") or node.get("Relation Name"))
    ]
    return " and ".join(named) or plan["Node Type"]


def per_row(plan: QueryPlan) -> dict[str, str]:
    """The avoidable calls that run for each row: call → the condition that contains it.

    These are functions outside pg_catalog, functions of pg_catalog that identify the caller, and
    sub-selects that run for each row. An InitPlan and a hashed SubPlan run once, and so do the
    calls inside them.
    """
    calls: dict[str, str] = {}
    for node in _each_row(plan):
        for key in _CONDITIONS:
            for condition in _texts(node.get(key)):
                for call in _calls(condition):
                    calls.setdefault(call, condition)
    return calls


def repeated_calls(plan: QueryPlan) -> Counter[str]:
    """The calls that may run more than once, as `per_row` finds them: in the conditions and outputs
    of all nodes but those of an InitPlan, which runs once.
    """
    found = Counter[str]()
    for key in (*_CONDITIONS, "Output"):
        for text in _texts(plan.get(key)):
            found.update(call for call in _calls(text) if call.endswith("()"))
    for child in plan.get("Plans", ()):
        if child.get("Parent Relationship") != "InitPlan":
            found.update(repeated_calls(child))
    return found


def conditions(plan: QueryPlan, relations: Collection[str]) -> Iterator[tuple[str, str]]:
    """(alias, filter) of each scan of these tables, unquoted names with their schemas.

    A plan refers to the value of a sub-select as $0 or (InitPlan 1).col1. The filter contains the
    sub-select instead, unless it reads a table.
    """
    values: dict[str, str] = {}
    for node in nodes(plan):
        if (
            node.get("Parent Relationship") == "InitPlan"
            and node["Node Type"] == "Result"
            and "Plans" not in node
        ):
            for number, name in enumerate(_RESULT.findall(node.get("Subplan Name", "")), 1):
                value = f"(select {', '.join(node.get('Output', ()))})"
                values |= {f"({name}).col{number}": value, name: value}
    for node in nodes(plan):
        if f"{node.get('Schema')}.{node.get('Relation Name')}" in relations and "Filter" in node:
            yield (
                node["Alias"],
                _VALUE.sub(lambda match: values.get(match[0], match[0]), node["Filter"]),
            )


def _each_row(plan: QueryPlan) -> Iterator[QueryPlan]:
    yield plan
    for child in plan.get("Plans", ()):
        # the condition of the parent names a sub-select that runs for each row
        if child.get("Parent Relationship") not in ("InitPlan", "SubPlan"):
            yield from _each_row(child)


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _calls(condition: str) -> Iterator[str]:
    for token in _TOKEN.finditer(condition):
        if token["subplan"]:
            yield f"a sub-select ({token['subplan']})"
        elif token["open"] and ("." in token["call"] or token["call"] in _CALLER_FUNCTIONS):
            yield f"{token['call']}()"
