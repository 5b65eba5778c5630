"""Policies that show rows to visitors: they name anon, do not apply to who has signed in, and ask
nothing about the request, such as those of the catalogue of a shop.
"""

from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import Any

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.policies import expressions, parse_trees, tested
from supabase_jobs.audit.policies.expressions import Comparison, Literal, Reference

_SELECT, _VISITOR, _USER = "select", "anon", "authenticated"


class Shown(StrEnum):
    """The rows that visitors see: none; those that are not hidden; or only those about which
    somebody has decided so, since a new row is none of them by default.
    """

    NONE = "none"
    UNLESS_HIDDEN = "unless hidden"
    BY_CHOICE = "by choice"


def shown(relation: Relation, identifying: Collection[str]) -> Shown:
    """The rows that each of these policies shows. `identifying` are the columns that say whose a
    row is, which a policy for everybody does not look at.
    """
    policies = [p for p in relation.policies if p.permissive and p.governs(_SELECT)]
    policies = [p for p in policies if _VISITOR in p.roles and not p.applies_to(_USER)]
    if not policies or any(_asks(relation, p, identifying) for p in policies):
        return Shown.NONE
    is_chosen = all(_is_chosen(relation, policy) for policy in policies)
    return Shown.BY_CHOICE if is_chosen else Shown.UNLESS_HIDDEN


def _asks(relation: Relation, policy: Policy, identifying: Collection[str]) -> bool:
    """Whether a policy looks at anything but states and times of the row."""
    for condition in tested.conjuncts(policy.visible or "true"):
        tree = parse_trees.expression_tree(condition)
        is_query = any(parse_trees.nodes(tree, "SubLink"))
        if is_query or any(call[-1] not in tested.CLOCKS for call in parse_trees.calls(tree)):
            return True
        columns = set(_columns(relation, tree))
        if columns & {*identifying} or not (columns or condition == "true"):
            return True
    return False


def _is_chosen(relation: Relation, policy: Policy) -> bool:
    """Whether a new row does not pass by its defaults."""
    for name, demand in tested.tests(relation, policy.visible).demands.items():
        default = relation.by_name[name].default
        start = expressions.value(parse_trees.expression_tree(default or "null"))
        first = start.text if isinstance(start, Literal) else ""
        is_known = default is None or isinstance(start, Literal)
        if demand.values and is_known and first not in demand.values:
            return True
    compared = expressions.comparisons(parse_trees.expression_tree(policy.visible or "true"))
    return any(_is_set(relation, one) for one in compared)


def _is_set(relation: Relation, one: Comparison) -> bool:
    """Whether a comparison demands a value of a column that a new row may lack."""
    if not isinstance(one.left, Reference) or one.operator == expressions.IS_NULL:
        return False
    column = relation.by_name[one.left.column]
    return column.default is None and not column.not_null


def _columns(relation: Relation, tree: Any) -> Iterator[str]:
    for fields in parse_trees.nodes(tree, "ColumnRef"):
        named = expressions.value({"ColumnRef": fields})
        if isinstance(named, Reference) and named.column in relation.by_name:
            yield named.column
