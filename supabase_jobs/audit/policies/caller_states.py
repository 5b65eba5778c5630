"""States of the caller's own row, as of an account that is not blocked, for which policies of some
tables ask, and others do not.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from supabase_jobs.audit.catalog import Catalog, Function, Policy, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions, parse_trees, printed, queries
from supabase_jobs.audit.policies.expressions import USER_ID, Literal, Reference
from supabase_jobs.audit.policies.tested import Closed
from supabase_jobs.audit.policies.uses import ColumnKey, Usage

_USER = "authenticated"


@dataclass(frozen=True)
class CallerState:
    """The policies of `tables` do not look at a `column` of the caller's row of a `table`, for
    which those of `others` ask. If none asks, `ends` are columns that may mark the row as ended,
    with the values that do in words.
    """

    table: str
    column: str
    tables: Sequence[str]
    others: Sequence[str] = ()
    ends: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Asked:
    """A condition that suffices for rows of a table: `rows` are the tables in which it finds a row
    of the caller, `states` the columns of these that it compares with a constant, `words` those of
    the condition and of its functions, without the columns of the row itself. `is_own`: it compares
    the caller with one of these.
    """

    table: Relation
    is_write: bool
    rows: frozenset[int]
    states: Mapping[ColumnKey, str]
    words: Collection[str]
    is_own: bool


def find(
    catalog: Catalog,
    usage: Usage,
    relations: Iterable[Relation],
    closed: Mapping[int, Mapping[str, Closed]],
    ends: Mapping[int, Mapping[str, str]],
) -> Iterator[CallerState]:
    """One for each state that the row of a new user has, or that most policies ask for, and for
    each end of such a row for which none asks.

    `closed` has the columns with few values of each table, `ends` those that may mark a row as
    ended, with the value that does in words. A condition without the state lacks it
    if it finds the caller by the same row; or if it lets the caller write rows of their own, and
    another policy of the table asks for the state.
    """
    reader = _Reader(catalog, usage)
    asked = [
        one
        for relation in relations
        for policy in relation.policies
        if policy.permissive and policy.applies_to(_USER)
        for one in reader.of_policy(relation, policy)
    ]
    demanded: dict[ColumnKey, set[str]] = {}
    for one in asked:
        for key, value in one.states.items():
            demanded.setdefault(key, set()).add(value)
    for key in sorted(demanded):
        oid, name = key
        values = closed.get(oid, {}).get(name)
        by_row = [one for one in asked if oid in one.rows]
        asking = [one for one in by_row if key in one.states]
        others = {one.table.label for one in asking}
        is_first = values is not None and demanded[key] <= {*values.first}
        if values is None or not (is_first or 2 * len(asking) > len(by_row)):
            continue
        lacking = [one for one in by_row if key not in one.states]
        lacking += [
            one
            for one in asked
            if one.is_own and one.is_write and not one.rows and one.table.oid != oid
            if one.table.label in others
        ]
        tables = dict.fromkeys(one.table.label for one in lacking)
        if tables:
            yield CallerState(
                table=catalog.by_oid[oid].label,
                column=name,
                tables=sorted(tables),
                others=sorted(others - {*tables} or others),
            )
    yield from _of_ends(catalog, asked, ends)


def _of_ends(
    catalog: Catalog, asked: Sequence[_Asked], ends: Mapping[int, Mapping[str, str]]
) -> Iterator[CallerState]:
    """One for each table with a row of the caller, if nothing looks at what marks its end."""
    for oid, columns in ends.items():
        by_row = [one for one in asked if oid in one.rows and one.table.oid != oid]
        words = {word for one in by_row for word in one.words}
        unread = {name: end for name, end in columns.items() if name not in words}
        if by_row and unread:
            yield CallerState(
                table=catalog.by_oid[oid].label,
                column="",
                tables=sorted({one.table.label for one in by_row}),
                ends=unread,
            )


class _Reader:
    """Policies and functions of a project as conditions about their caller."""

    def __init__(self, catalog: Catalog, usage: Usage) -> None:
        self._usage = usage
        self._tables = {name: r for r in catalog.tables for name in (r.name, r.label)}
        self._functions: dict[str, list[Function]] = {}
        for function in catalog.functions:
            self._functions.setdefault(function.name, []).append(function)

    def of_policy(self, relation: Relation, policy: Policy) -> Iterator[_Asked]:
        """The alternatives of a policy that ask about their caller."""
        text = policy.checked if policy.command == "a" else policy.visible
        for one in printed.alternatives(text or "true", LIMITS.alternatives):
            tree = parse_trees.expression_tree(one)
            rows, states = set[int](), dict[ColumnKey, str]()
            words = {*re.findall(r"\w+", one)} - relation.by_name.keys()
            self._add_queries(tree, rows, states)
            for call in parse_trees.nodes(tree, "FuncCall"):
                self._add_call(call, rows, states)
                words |= self._words(call)
            sides = [{c.left, c.right} for c in expressions.comparisons(tree)]
            own = [s for found in sides if USER_ID in found for s in found - {USER_ID}]
            is_own = any(isinstance(s, Reference) and s.table is None for s in own)
            if rows or is_own:
                is_write = policy.command != "r"
                yield _Asked(
                    table=relation,
                    is_write=is_write,
                    rows=frozenset(rows),
                    states=states,
                    words=words,
                    is_own=is_own,
                )

    def _add_queries(self, tree: Any, rows: set[int], states: dict[ColumnKey, str]) -> None:
        """The subqueries of a condition that find a row of the caller."""
        for query in queries.conditions([tree]):
            [statement] = query.values()
            scopes = parse_trees.tables_of(statement)
            compared = [(one.left, one.right) for one in expressions.comparisons(query)]
            sides = [*compared, *((right, left) for left, right in compared)]
            for alias, label in scopes.items():
                relation = self._tables.get(label)
                names = (alias, None) if len(scopes) == 1 else (alias,)
                named = [
                    (side.column, other)
                    for side, other in sides
                    if isinstance(side, Reference) and side.table in names
                ]
                if relation is None or USER_ID not in (other for _, other in named):
                    continue
                rows.add(relation.oid)
                for column, other in named:
                    if isinstance(other, Literal):
                        states[relation.oid, column] = other.text
                for flag, is_set in queries.flags(statement):
                    if flag.table in names:
                        states[relation.oid, flag.column] = "true" if is_set else "false"

    def _words(self, call: Any) -> set[str]:
        """The words of the functions that a condition calls."""
        called = self._functions.get(parse_trees.name_of(call)[-1], ())
        oids = {oid for f in called for oid in (f.oid, *self._usage.bodies.callees.get(f.oid, ()))}
        every = (function for named in self._functions.values() for function in named)
        return {w for f in every if f.oid in oids for w in re.findall(r"\w+", f.body)}

    def _add_call(self, call: Any, rows: set[int], states: dict[ColumnKey, str]) -> None:
        """The row of the caller, or of the user whom an argument names, at which a function
        looks, and the columns that it compares.
        """
        usage = self._usage
        given = [expressions.value(node) for node in call.get("args", ())]
        for function in self._functions.get(parse_trees.name_of(call)[-1], ()):
            keys = {*usage.conditions.own.get(function.oid, ())}
            for callee in usage.bodies.callees.get(function.oid, ()):
                keys |= usage.conditions.own.get(callee, set())
            for name, value in zip(function.argument_names, given, strict=False):
                found = usage.bodies.arguments.get((function.oid, name), ())
                if value == USER_ID:
                    keys |= {key for key in found if key in usage.persons.users}
                elif isinstance(value, Literal):
                    states |= dict.fromkeys(found, value.text)
            oids = {oid for oid, _ in keys}
            rows |= oids
            for called in {function.oid, *usage.bodies.callees.get(function.oid, ())}:
                for key, value_ in usage.conditions.demands.get(called, {}).items():
                    if key[0] in oids and value_ is not None:
                        states[key] = value_
