"""States of a row that policies of one table accept, although those of another accept fewer: a
booking that is only requested, where the policy beside it asks for one that is accepted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supabase_jobs.audit.catalog import Catalog, Relation
from supabase_jobs.audit.policies import expressions, parse_trees, queries
from supabase_jobs.audit.policies.expressions import Literal, Reference
from supabase_jobs.audit.policies.parse_trees import Node

_SELECT = "select"


@dataclass(frozen=True)
class LinkState:
    """Policies of `table` for SELECT accept a row of `link` with the value `start` of a column, its
    default; those of `other` accept only the values `demanded`.
    """

    table: str
    link: str
    column: str
    start: str
    other: str
    demanded: Sequence[str]


@dataclass(frozen=True)
class _Asked:
    """The values of columns of a row of `link` for which a policy of a table asks."""

    table: Relation
    link: Relation
    values: Mapping[str, frozenset[str]]


def find(catalog: Catalog, tables: Sequence[Relation]) -> Iterator[LinkState]:
    """The states with which rows start that policies of these tables accept, and others do not."""
    asked = [one for relation in tables for one in _of_table(catalog, relation)]
    for one in asked:
        for other in asked:
            if one.link is other.link and one.table is not other.table:
                yield from _wider(one, other)


def _wider(one: _Asked, other: _Asked) -> Iterator[LinkState]:
    """The columns in which one policy accepts the value of a new row besides those of the other."""
    for column, accepted in one.values.items():
        demanded = other.values.get(column, frozenset())
        default = parse_trees.expression_tree(one.link.by_name[column].default or "null")
        start = expressions.value(default)
        is_wider = bool(demanded) and demanded < accepted
        if is_wider and isinstance(start, Literal) and start.text in accepted - demanded:
            yield LinkState(
                table=one.table.label,
                link=one.link.label,
                column=column,
                start=start.text,
                other=other.table.label,
                demanded=sorted(demanded),
            )


def _of_table(catalog: Catalog, relation: Relation) -> Iterator[_Asked]:
    for policy in relation.policies:
        if policy.permissive and policy.governs(_SELECT) and policy.visible is not None:
            tree = parse_trees.expression_tree(policy.visible)
            for query in queries.conditions([tree, *_bodies(catalog, tree)]):
                yield from _of_query(catalog, relation, query)


def _bodies(catalog: Catalog, tree: Any) -> Iterator[Any]:
    """The bodies of the functions in SQL that an expression calls."""
    names = {name[-1] for name in parse_trees.calls(tree)}
    for function in catalog.functions if names else ():
        if function.name in names and function.language == "sql":
            yield parse_trees.body_trees(function.language, function.body)


def _of_query(catalog: Catalog, relation: Relation, query: Node) -> Iterator[_Asked]:
    """The tables that a query reads, besides that of the policy."""
    scopes = parse_trees.tables_of(query.get("SelectStmt", {}))
    named = set(scopes.values())
    for link in catalog.tables if scopes else ():
        if link is relation or named.isdisjoint((link.name, link.label)):
            continue
        aliases = [alias for alias, name in scopes.items() if name in (link.name, link.label)]
        values: dict[str, set[str]] = {}
        for comparison in expressions.comparisons(query):
            column, other = comparison.left, comparison.right
            if not isinstance(column, Reference) or not isinstance(other, Literal):
                continue
            is_named = column.table in (*aliases, None) and column.column in link.by_name
            if comparison.operator == "=" and is_named:
                values.setdefault(column.column, set()).add(other.text)
        if values:
            yield _Asked(relation, link, {name: frozenset(v) for name, v in values.items()})
