"""The demands of CHECK constraints on columns: lists of values, ranges, lengths and patterns, from
their parse trees.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from supabase_jobs.audit.policies.expressions import (
    OPERATORS,
    TRANSPARENT,
    Literal,
    Reference,
    value,
)
from supabase_jobs.audit.policies.parse_trees import elements, expression_tree


@dataclass
class Limits:
    """The demands of CHECK constraints on a column."""

    allowed: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    low: float | None = None
    high: float | None = None
    shortest: int = 0
    longest: int | None = None
    patterns: list[str] = field(default_factory=list)
    likes: list[str] = field(default_factory=list)
    json_type: str | None = None


def limits(definitions: Sequence[str], only: str | None = None) -> dict[str, Limits]:
    """Column → limits, of `CHECK (…)` definitions. `only`: the name for VALUE in the checks of a
    domain.
    """
    found: dict[str, Limits] = {}
    for definition in definitions:
        text = re.sub(r"\s+(NOT VALID|NO INHERIT|NOT ENFORCED)\s*$", "", definition.strip())
        text = re.sub(r"^CHECK\s*", "", text)
        if only is not None:
            text = re.sub(r"\bVALUE\b", "value_", text)
        _limit(expression_tree(text), found)
    return found


def _limit(tree: Any, found: dict[str, Limits]) -> None:
    """Add the limits of a condition. Of alternatives, the last that restricts a column is taken."""
    if not isinstance(tree, dict):
        return
    if "BoolExpr" in tree:
        operands = tree["BoolExpr"]["args"]
        if tree["BoolExpr"]["boolop"] == "AND_EXPR":
            for operand in operands:
                _limit(operand, found)
        elif tree["BoolExpr"]["boolop"] == "OR_EXPR":
            _alternatives(operands, found)
        return
    expression = tree.get("A_Expr")
    if not isinstance(expression, dict) or "lexpr" not in expression:
        return
    operator = expression["name"][-1]["String"]["sval"]
    kind = expression.get("kind")
    left, right = expression["lexpr"], expression["rexpr"]
    if kind == "AEXPR_BETWEEN":
        low, high = right["List"]["items"]
        _range(left, ">=", low, found)
        _range(left, "<=", high, found)
        return
    if operator in ("~", "~*", "~~", "~~*"):
        column, pattern = _column_of(left), value(right)
        if column and isinstance(pattern, Literal):
            target = found.setdefault(column, Limits())
            (target.patterns if operator in ("~", "~*") else target.likes).append(pattern.text)
        return
    column, constants = _column_of(left), [value(e) for e in elements(right)]
    texts = [c.text for c in constants if isinstance(c, Literal)]
    if operator == "=" and column and _function_of(left) is None and texts:
        found.setdefault(column, Limits()).allowed += texts
    elif operator == "<>" and column and _function_of(left) is None and texts:
        found.setdefault(column, Limits()).excluded += texts
    elif (
        operator == "="
        and column
        and _function_of(left) in ("jsonb_typeof", "json_typeof")
        and texts
    ):
        found.setdefault(column, Limits()).json_type = texts[0]
    elif operator in OPERATORS:
        _range(left, operator, right, found)


def _alternatives(operands: Sequence[Any], found: dict[str, Limits]) -> None:
    """Of `a or b`: equal columns gather their allowed values; otherwise the first restricting
    operand counts.
    """
    parts = []
    for operand in operands:
        part: dict[str, Limits] = {}
        _limit(operand, part)
        if part:
            parts.append(part)
    if not parts:
        return
    first = parts[0]
    for column, part_limits in first.items():
        target = found.setdefault(column, Limits())
        for other in parts:
            if column in other and set(other) == set(first):
                target.allowed += other[column].allowed
        if not part_limits.allowed:
            target.low, target.high = part_limits.low or target.low, part_limits.high or target.high
            target.shortest, target.longest = part_limits.shortest, part_limits.longest
            target.patterns += part_limits.patterns
            target.likes += part_limits.likes


def _range(left: Any, operator: str, right: Any, found: dict[str, Limits]) -> None:
    constant = value(right)
    if not isinstance(constant, Literal):
        constant, left = value(left), right
        operator = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(operator, operator)
    column = _column_of(left)
    if column is None or not isinstance(constant, Literal):
        return
    try:
        number = float(constant.text)
    except ValueError:
        return
    target = found.setdefault(column, Limits())
    if (function := _function_of(left)) is not None:
        if function in (
            "length",
            "char_length",
            "character_length",
            "octet_length",
            "cardinality",
            "array_length",
        ):
            if operator in (">", ">=", "="):
                target.shortest = max(target.shortest, int(number) + (operator == ">"))
            if operator in ("<", "<=", "="):
                longest = int(number) - (operator == "<")
                target.longest = longest if target.longest is None else min(target.longest, longest)
        return
    if operator in (">", ">=", "="):
        low = number + (operator == ">")
        target.low = low if target.low is None else max(target.low, low)
    if operator in ("<", "<=", "="):
        high = number - (operator == "<")
        target.high = high if target.high is None else min(target.high, high)


def _column_of(node: Any) -> str | None:
    """The column of `column`, `function(column)` or a cast of one."""
    if not isinstance(node, dict) or not node:
        return None
    kind, fields = next(iter(node.items()))
    if kind == "TypeCast":
        return _column_of(fields["arg"])
    if kind == "FuncCall" and fields.get("args"):
        return _column_of(fields["args"][0])
    if (
        kind == "A_Expr"
        and "rexpr" in fields
        and fields["name"][-1]["String"]["sval"] in ("->", "->>")
    ):
        return None
    found = value(node)
    return found.column if isinstance(found, Reference) else None


def _function_of(node: Any) -> str | None:
    """The outermost function of an expression that is not transparent."""
    if not isinstance(node, dict) or not node:
        return None
    kind, fields = next(iter(node.items()))
    if kind == "TypeCast":
        return _function_of(fields["arg"])
    if kind == "FuncCall":
        name: str = fields["funcname"][-1]["String"]["sval"]
        return (
            name
            if name not in TRANSPARENT or not fields.get("args")
            else _function_of(fields["args"][0])
        )
    return None


def columns(definition: str) -> list[str]:
    """The columns that a CHECK definition mentions, in order."""
    found: dict[str, None] = {}

    def walk(tree: Any) -> None:
        if isinstance(tree, list):
            for part in tree:
                walk(part)
        elif isinstance(tree, dict):
            if "ColumnRef" in tree:
                reference = value(tree)
                if isinstance(reference, Reference):
                    found[reference.column] = None
            for part in tree.values():
                walk(part)

    walk(
        expression_tree(
            re.sub(r"^CHECK\s*", "", re.sub(r"\s+NOT VALID\s*$", "", definition.strip()))
        )
    )
    return list(found)
