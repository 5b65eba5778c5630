"""Conditions about the caller that the policies of several tables only ask beside another one, and
one policy alone: a board member of whom it does not ask whether the membership goes on.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from supabase_jobs.audit.catalog import Catalog, Function, Policy, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions, parse_trees, printed
from supabase_jobs.audit.policies.tested import conjuncts
from supabase_jobs.audit.policies.uses import Usage

_USER = "authenticated"


@dataclass(frozen=True)
class LoneGuard:
    """The `policy` of a table that only asks a function about its caller. The policies of `others`
    ask for one of the `companions`, too.
    """

    table: str
    policy: str
    guard: str
    companions: Sequence[str]
    others: Sequence[str]


@dataclass(frozen=True)
class _Asked:
    """A condition that suffices for rows of a table, with the functions that each of its parts asks
    about the caller; none if the part compares the caller itself, or reads what the caller sees.
    """

    table: str
    policy: str
    parts: Sequence[frozenset[str]]

    @property
    def guards(self) -> frozenset[str]:
        """The functions that it asks."""
        return frozenset().union(*self.parts)


def find(catalog: Catalog, usage: Usage, relations: Iterable[Relation]) -> Iterator[LoneGuard]:
    """Those of these tables, for reads and for writes by themselves: many policies show what fewer
    let their callers change.
    """
    by_name: dict[str, list[Function]] = {}
    for function in catalog.functions:
        if function.oid in usage.conditions.asking:
            by_name.setdefault(function.name, []).append(function)
    reading, writing = list[_Asked](), list[_Asked]()
    for relation in relations:
        for policy in relation.policies:
            if policy.permissive and policy.applies_to(_USER):
                found = reading if policy.command == "r" else writing
                found += _read(by_name, relation, policy)
    yield from _of_kind(reading)
    yield from _of_kind(writing)


def _of_kind(asked: Sequence[_Asked]) -> Iterator[LoneGuard]:
    for guard in sorted({name for one in asked for name in one.guards}):
        asking = [one for one in asked if guard in one.guards]
        alone = [one for one in asking if len(one.parts) == 1 and len(one.guards) == 1]
        beside = [one for one in asking if len(one.parts) > 1]
        tables = {one.table for one in alone}
        others = [one for one in beside if one.table not in tables and len(one.guards) > 1]
        labels = sorted({one.table for one in others})
        if len(tables) == 1 and len(labels) >= LIMITS.guarding_tables:
            companions = frozenset().union(*(one.guards for one in others)) - {guard}
            for policy in dict.fromkeys(one.policy for one in alone):
                yield LoneGuard(
                    table=next(iter(tables)),
                    policy=policy,
                    guard=guard,
                    companions=sorted(companions),
                    others=labels,
                )


def _read(
    by_name: dict[str, list[Function]], relation: Relation, policy: Policy
) -> Iterator[_Asked]:
    """The alternatives of a policy that ask about their caller, of the rows that it chooses: a
    changed row only has to stay with the caller.
    """
    text = policy.checked if policy.command == "a" else policy.visible
    for one in printed.alternatives(text or "true", LIMITS.alternatives):
        parts = list[frozenset[str]]()
        for part in conjuncts(one):
            tree = parse_trees.expression_tree(part)
            called = [f for name in parse_trees.calls(tree) for f in by_name.get(name[-1], ())]
            if called or expressions.request_values(tree) or parse_trees.tables(tree):
                parts.append(frozenset(f.signature for f in called))
        if parts:
            yield _Asked(relation.label, policy.name, parts)
