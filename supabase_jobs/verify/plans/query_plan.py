"""Read a plan of PostgreSQL's (`explain (verbose, format json)`): which indexes it takes, what it does for each row.

Pure; written for plans that were made with an empty search_path, in which every function outside pg_catalog is
shown with its schema.
"""

import re
from collections.abc import Iterator
from typing import Any

Plan = dict[str, Any]

# what a node evaluates for each row that it looks at; a One-Time Filter and what is only put out are not among it
_CONDITIONS = (
    "Filter", "Join Filter", "Index Cond", "Recheck Cond", "Hash Cond", "Merge Cond", "TID Cond", "Order By",
)  # fmt: skip
_SORTS = ("Sort", "Incremental Sort")

# PostgreSQL's own functions that tell who asks: they read a setting, and as a rule JSON is parsed on top
_OF_THE_CALLER = ("current_setting",)

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
# a text (which may look like anything) is read over; a name is one where a parenthesis follows at once
_TOKEN = re.compile(
    rf"E?'(?:[^']|'')*'|(?P<hashed>hashed SubPlan)|(?P<subplan>SubPlan \d+)"
    rf"|(?P<call>{_NAME}(?:\.{_NAME})*)(?P<open>\()?"
)

# how a plan names the values of its sub-selects: "InitPlan 1", and "InitPlan 1 (returns $0)" before PostgreSQL 17
_RESULT = re.compile(r"\$\d+|^InitPlan \d+$")
_VALUE = re.compile(r"\$\d+|\(InitPlan \d+\)\.col\d+")


def nodes(plan: Plan) -> Iterator[Plan]:
    """Every node of a plan, those of its sub-selects too."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def indexes(plan: Plan) -> set[str]:
    """The names of the indexes that a plan takes, as EXPLAIN gives them: without their schemas."""
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


def sorts(plan: Plan) -> bool:
    """Whether anything is sorted."""
    return any(node["Node Type"] in _SORTS for node in nodes(plan))


def is_empty(plan: Plan) -> bool:
    """Whether the planner has proved that there can be no row."""
    return any(node.get("One-Time Filter") == "false" for node in nodes(plan))


def scans(plan: Plan) -> str:
    """What a plan scans, in words: `Index Scan on idx_b`, `Seq Scan on t`."""
    named = [
        f"{node['Node Type']} on {node.get('Index Name') or node.get('Relation Name')}"
        for node in nodes(plan)
        if "Scan" in node["Node Type"] and (node.get("Index Name") or node.get("Relation Name"))
    ]
    return " and ".join(named) or plan["Node Type"]


def per_row(plan: Plan) -> dict[str, str]:
    """What is called for each row and need not be, each with the condition that it stands in.

    That is each function outside pg_catalog, each of PostgreSQL's that asks who the caller is, and each sub-select
    that runs again for each row (not those that run once, an InitPlan or a hashed SubPlan, and what is in them).
    """
    found: dict[str, str] = {}
    for node in _each_row(plan):
        for key in _CONDITIONS:
            for condition in _texts(node.get(key)):
                for what in _calls(condition):
                    found.setdefault(what, condition)
    return found


def conditions(plan: Plan, schema: str, relation: str) -> Iterator[tuple[str, str]]:
    """(alias, filter) of each scan of a table, as conditions that stand by themselves.

    The value of a sub-select, which a plan calls $0 or (InitPlan 1).col1, is written out where it reads no table.
    """
    values: dict[str, str] = {}
    for node in nodes(plan):
        if node.get("Parent Relationship") == "InitPlan" and node["Node Type"] == "Result" and "Plans" not in node:
            for number, name in enumerate(_RESULT.findall(node.get("Subplan Name", "")), 1):
                value = f"(select {', '.join(node.get('Output', ()))})"
                values |= {f"({name}).col{number}": value, name: value}
    for node in nodes(plan):
        if (node.get("Schema"), node.get("Relation Name")) == (schema, relation) and "Filter" in node:
            yield node["Alias"], _VALUE.sub(lambda found: values.get(found[0], found[0]), node["Filter"])


def _each_row(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", ()):
        # a sub-select that does run for each row is named in the condition that it belongs to
        if child.get("Parent Relationship") not in ("InitPlan", "SubPlan"):
            yield from _each_row(child)


def _texts(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _calls(condition: str) -> Iterator[str]:
    for token in _TOKEN.finditer(condition):
        if token["subplan"]:
            yield f"a sub-select ({token['subplan']})"
        elif token["open"] and ("." in token["call"] or token["call"] in _OF_THE_CALLER):
            yield f"{token['call']}()"
