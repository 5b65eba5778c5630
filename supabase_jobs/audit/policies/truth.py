"""Conditions that are always or never true, alternatives, and negations."""

from typing import Any

from supabase_jobs.audit.policies.expressions import OPERATORS, USER_ID, Claim, Literal, value


def always_true(tree: Any, role: str) -> bool:
    """Whether an expression is true for every row, for a signed-in user or anon: `true`,
    `auth.uid() is not null`, …
    """
    if not isinstance(tree, dict) or not tree:
        return False
    kind, fields = next(iter(tree.items()))
    if kind == "BoolExpr":
        parts = [always_true(arg, role) for arg in fields["args"]]
        return {"AND_EXPR": all(parts), "OR_EXPR": any(parts)}.get(fields["boolop"], False)
    if kind == "NullTest":
        return (
            fields["nulltesttype"] == "IS_NOT_NULL"
            and value(fields["arg"]) == USER_ID
            and role != "anon"
        )
    if (
        kind == "A_Expr"
        and fields.get("kind") == "AEXPR_OP"
        and fields["name"][-1]["String"]["sval"] == "="
    ):
        sides = (value(fields.get("lexpr")), value(fields.get("rexpr")))
        return Claim(("role",)) in sides and Literal(role) in sides
    return value(tree) == Literal("true")


def never_true(tree: Any, role: str) -> bool:
    """Whether an expression is true for no row of a role: `false`, a comparison with NULL, or one
    with another role or, for anon, with the user's id.
    """
    if not isinstance(tree, dict) or not tree:
        return False
    kind, fields = next(iter(tree.items()))
    if kind == "BoolExpr":
        parts = [never_true(arg, role) for arg in fields["args"]]
        return {"AND_EXPR": any(parts), "OR_EXPR": all(parts)}.get(fields["boolop"], False)
    if kind == "A_Expr" and fields.get("kind") == "AEXPR_OP":
        operands_ = (fields.get("lexpr"), fields.get("rexpr"))
        sides = tuple(map(value, operands_))
        operator = fields["name"][-1]["String"]["sval"]
        if operator in OPERATORS and (
            any(map(_is_null, operands_)) or (role == "anon" and USER_ID in sides)
        ):
            return True
        literals = [side for side in sides if isinstance(side, Literal)]
        is_equal = operator == "="
        return is_equal and Claim(("role",)) in sides and literals not in ([], [Literal(role)])
    return value(tree) == Literal("false")


def _is_null(node: Any) -> bool:
    """Whether a node is the constant NULL."""
    while isinstance(node, dict) and "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    return isinstance(node, dict) and bool(node.get("A_Const", {}).get("isnull"))


def excludes(tree: Any) -> bool:
    """Whether an expression only names rows that are left out: `not blocked(author_id)`."""
    return isinstance(tree, dict) and tree.get("BoolExpr", {}).get("boolop") == "NOT_EXPR"


def any_of(tree: Any) -> list[Any]:
    """The operands of OR; the expression itself if it is none."""
    operation = tree.get("BoolExpr", {}) if isinstance(tree, dict) else {}
    if operation.get("boolop") != "OR_EXPR":
        return [tree]
    return [one for operand in operation["args"] for one in any_of(operand)]
