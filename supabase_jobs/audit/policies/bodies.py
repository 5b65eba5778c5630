"""The conditions in the bodies of functions: what they test, and how."""

import re
from collections.abc import Iterator
from typing import Any

from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.policies import parse_trees

# the conditions of a body, up to what may follow one
_CONDITION = re.compile(
    r"\b(?:where|if|elsif|when|having|on)\b(.*?)"
    r"(?=\b(?:then|returning|order|group|limit|union)\b|;|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_AGGREGATE = re.compile(r"\b(?:count|sum|avg)\s*\(", re.IGNORECASE)
_AGGREGATES = ("count", "sum", "avg", "min", "max", "bool_and", "bool_or")
_NUMBERS = ("bigint", "integer", "numeric", "double precision")
# the condition of an IF that refuses the call, by an error or by an answer such as 'unknown'
_REFUSING = re.compile(
    r"(?<!end )\b(?:els)?if\b((?:(?!\bthen\b|;).)*)\bthen\s+"
    r"(?:raise\s+(?:exception\b|sqlstate\b|')|return\s*(?:'[^']*'|null|false)?\s*;)",
    re.IGNORECASE | re.DOTALL,
)
# variables with a row of a table, or with some of its columns
_TABLE = r'((?:\w+|"[^"]+")(?:\.(?:\w+|"[^"]+"))*)'
_DECLARED = re.compile(rf"\b(\w+)\s+{_TABLE}(?:%rowtype)?\s*;", re.IGNORECASE)
_SELECTED = re.compile(
    r"\bselect\b((?:(?!\bselect\b|;).)*?)\binto\s+(?:strict\s+)?"
    rf"(\w+(?:\s*,\s*\w+)*)\s+from\s+{_TABLE}",
    re.IGNORECASE | re.DOTALL,
)
_IF = re.compile(r"\b(?:els)?if\b(.*?)\bthen\b", re.IGNORECASE | re.DOTALL)


def counts_only(function: Function) -> bool:
    """Whether a function answers with a number about many rows, or asks for nothing."""
    is_number = function.result in _NUMBERS or not function.argument_types
    return is_number and _AGGREGATE.search(function.body) is not None


def answers_with_aggregates(function: Function) -> bool:
    """Whether a function is one query that answers with a row of aggregates."""
    if function.language != "sql":
        return False
    selects = [*parse_trees.nodes(parse_trees.body_trees("sql", function.body), "SelectStmt")]
    targets = selects[0].get("targetList", ()) if len(selects) == 1 else ()
    if not targets or "groupClause" in selects[0]:
        return False
    return all(map(_has_aggregate, targets))


def _has_aggregate(target: Any) -> bool:
    calls = parse_trees.nodes(target, "FuncCall")
    return any(parse_trees.name_of(call)[-1] in _AGGREGATES for call in calls)


def tested_names(body: str) -> set[str]:
    """All words of the conditions of a body: a column that is none of them decides nothing."""
    return {word for text in _CONDITION.findall(body) for word in re.findall(r"\w+", text)}


def refusing(function: Function) -> list[str]:
    """The conditions on which a body raises an error, or ends with an answer that says so."""
    found: list[str] = _REFUSING.findall(function.body)
    return found


def variables(function: Function) -> Iterator[tuple[str, str, str]]:
    """The variables of a body that may hold rows of a table, or values of a column: each with the
    name that the body gives to the table, and with the column, or '' for rows.
    """
    for name, table in _DECLARED.findall(function.body):
        yield name, _unquoted(table), ""
    for targets, names, quoted in _SELECTED.findall(function.body):
        table = _unquoted(quoted)
        columns = [_unquoted(target.strip()) for target in targets.split(",")]
        into = [name.strip() for name in names.split(",")]
        if len(into) == 1:
            yield into[0], table, ""
        if len(columns) == len(into):
            plain = [column.rpartition(".")[2] for column in columns]
            yield from zip(into, [table] * len(into), plain, strict=True)


def passed_by_null(function: Function) -> list[str]:
    """The arguments that IF compares with <> only, which is neither true nor false of NULL: what it
    refuses to others, it does not refuse to NULL.
    """
    conditions = _IF.findall(function.body)
    found = []
    for name in function.argument_names[: len(function.argument_types)]:
        word = re.escape(name)
        unequal = re.compile(rf"\b{word}\s*(?:<>|!=)|(?:<>|!=)\s*{word}\b", re.IGNORECASE)
        handled = re.compile(rf"\b{word}\s+is\b|\b(?:coalesce|nullif)\s*\(\s*{word}\b", re.I)
        if name and any(map(unequal.search, conditions)) and not handled.search(function.body):
            found.append(name)
    return found


def _unquoted(name: str) -> str:
    return name.replace('"', "")
