"""Functions for requests that act on rows which their caller chooses, and what they ask."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from supabase_jobs.audit.catalog import Catalog, Function, Relation
from supabase_jobs.audit.policies import bodies, expressions, parse_trees, truth
from supabase_jobs.audit.policies.expressions import (
    Comparison,
    Literal,
    Now,
    Reference,
    Selected,
    Value,
)
from supabase_jobs.audit.policies.parse_trees import Node, Trees
from supabase_jobs.audit.policies.tested import Closed
from supabase_jobs.audit.policies.uses import ColumnKey, Usage

_CALLERS = {"anon", "authenticated"}
_TIMES = ("date", "timestamp", "timestamptz")


class Omission(StrEnum):
    """The thing that a function does not look at, in a row on which it acts."""

    STATE = "state"  # what another function tests
    VALUES = "values"  # that it has one value: it only refuses another one
    MARK = "mark"  # a column that it sets itself, so that a second call does the same again
    JOIN = "join"  # a condition of a LEFT JOIN that leaves out no row, and decides nothing else
    LIMIT = "limit"  # a number beside the one that it counts, at which nothing looks
    REST = "rest"  # that something is left of a number from which it takes
    CALLER = "caller"  # the state of the row by which it finds its caller, which helpers test
    WHOSE = "whose"  # whose the row is that it demands
    ROLE = "role"  # that it gives the role of those whom it lets give one
    TIE = "tie"  # that a row which an argument names belongs to that of another argument
    NOBODY = "nobody"  # who calls it, where no policy lets anybody add rows
    DECISION = "decision"  # that whoever adds a row does not decide on it as well
    PERSON = "person"  # a person of the row whom another function refuses
    ABOVE = "above"  # the state of the row above, for which another function asks
    PASSED = "passed"  # the number of the row, beside an argument of the same name
    PRICE = "price"  # the number of the row above that a new row repeats
    ADDRESSEE = "addressee"  # whom the row names that the bearer of a text finds
    LINK = "link"  # the state of the row between two persons that it demands
    GROUP = "group"  # in which group its caller has the role that it asks for
    GUARD = "guard"  # the helper that other functions ask about their caller


@dataclass(frozen=True, kw_only=True)
class Unasked:
    """The `columns` of a `table` that a function leaves out. `places` are the functions that do
    not. `values` are those that it refuses, or the columns with a limit.
    """

    what: Omission
    function: str
    table: str
    columns: Sequence[str]
    places: Sequence[str] = ()
    values: Sequence[str] = ()


class Siblings:
    """The functions of a project for requests that act on rows which their caller chooses."""

    def __init__(
        self,
        catalog: Catalog,
        usage: Usage,
        closed: Mapping[int, Mapping[str, Closed]],
        giving: Collection[int],
    ) -> None:
        """`closed` has the columns with few values of each table, `giving` the tables whose rows
        give a role: what a function asks of them is about its caller.
        """
        self._catalog, self._usage = catalog, usage
        self._closed, self._giving = closed, giving
        helpers = {name for called in usage.policies.policy_functions.values() for name in called}
        self._functions = [
            function
            for function in catalog.functions
            if function.oid in usage.conditions.own and function.signature not in helpers
            if _CALLERS.intersection(function.callers) and function.result != "trigger"
        ]
        self._by_oid: Mapping[int, Function] = {
            function.oid: function for function in catalog.functions
        }

    def find(self) -> Iterator[Unasked]:
        """The omissions of these functions."""
        raise NotImplementedError

    @cached_property
    def _helpers(self) -> Sequence[Function]:
        """The functions that policies, views or other functions call."""
        called = {oid for oids in self._usage.bodies.callees.values() for oid in oids}
        names = {name for found in self._usage.policies.policy_functions.values() for name in found}
        return [
            function
            for function in self._catalog.functions
            if function.oid in called or function.signature in names
        ]

    def _columns(self, table: str) -> Sequence[str]:
        relation = self._labelled.get(table)
        return [] if relation is None else [column.name for column in relation.columns]

    @cached_property
    def _labelled(self) -> Mapping[str, Relation]:
        return {name: r for r in self._catalog.tables for name in (r.name, r.label)}

    def _is_state(self, key: ColumnKey) -> bool:
        oid, name = key
        column = self._catalog.by_oid[oid].by_name[name]
        if column.base in _TIMES or name in self._closed.get(oid, {}):
            return True
        return column.category == "S" and bool(self._usage.constants.literals.get(key))

    def _rows(self, function: Function) -> set[int]:
        """The tables of which a function finds a row by an argument, or changes one."""
        return self._found(function) | {oid for oid, _ in self._usage.bodies.sets[function.oid]}

    def _found(self, function: Function) -> set[int]:
        """The tables of which a function finds one row by an argument."""
        found = set()
        for name in function.argument_names[: len(function.argument_types)]:
            for oid, column in self._usage.bodies.arguments.get((function.oid, name), ()):
                relation = self._catalog.by_oid.get(oid)
                if relation is None:
                    continue
                is_bearer = (oid, column) in self._usage.secrets.bearers
                if is_bearer or (column,) in relation.unique_keys:
                    found.add(oid)
        return found

    def _demanded(self, function: Function, other: Function, relation: Relation) -> set[str]:
        """The columns of a table for which a function would have to ask as another one does: a time
        or a flag; the steps of a row and its owner, if it changes them.
        """
        usage, by_name = self._usage, relation.by_name
        conditions = usage.conditions
        keys = {*conditions.demands[other.oid]}
        keys |= conditions.later[other.oid] | conditions.earlier[other.oid]
        found = {name for oid, name in keys if oid == relation.oid}
        for name, _, value in self._compared(other, relation):
            found |= {name} if isinstance(value, Literal | Now) else set()
        found = {name for name in found if self._is_state((relation.oid, name))}
        owners = {name for oid, name in usage.conditions.own[other.oid] if oid == relation.oid}
        if not usage.bodies.callees.get(function.oid, set()) & usage.conditions.asking:
            found |= owners & by_name.keys()
        changed = {name for oid, name in usage.bodies.sets[function.oid] if oid == relation.oid}
        steps = {n for n in found if n in changed or by_name[n].base in (*_TIMES, "bool")}
        return steps | self._marks(other, relation)

    def _marks(self, function: Function, relation: Relation) -> set[str]:
        """The columns of a table that a function sets where they are empty, such as the person who
        has accepted.
        """
        demands = self._usage.conditions.demands[function.oid]
        set_ = {name for oid, name in self._usage.bodies.sets[function.oid] if oid == relation.oid}
        empty = {name for name in set_ if demands.get((relation.oid, name), "") is None}
        return {name for name in empty if not relation.by_name[name].not_null}

    def _compared(
        self, function: Function, relation: Relation
    ) -> Iterator[tuple[str, Comparison, Value]]:
        """The columns of a table that the queries of a function compare, each with the value on the
        other side.
        """
        labels = (relation.name, relation.label)
        for one in self._comparisons(function):
            aliases = {alias for alias, name in one.scopes.items() if name in labels}
            for side, other in ((one.left, one.right), (one.right, one.left)):
                if not isinstance(side, Reference) or side.column not in relation.by_name:
                    continue
                is_only = side.table is None and len(one.scopes) == 1
                if aliases and (side.table in aliases or is_only):
                    yield side.column, one, other

    def _comparisons(self, function: Function) -> Sequence[Comparison]:
        if function.oid not in self._by_function:
            self._by_function[function.oid] = [*expressions.comparisons(self._trees(function))]
        return self._by_function[function.oid]

    @cached_property
    def _by_function(self) -> dict[int, Sequence[Comparison]]:
        return {}

    def _values(
        self, function: Function, relation: Relation, operator: str
    ) -> Mapping[str, set[str]]:
        """The constants with which a function compares columns of a table by an operator."""
        found: dict[str, set[str]] = {}
        for name, one, other in self._compared(function, relation):
            if isinstance(other, Literal) and one.operator == operator:
                found.setdefault(name, set()).add(other.text)
        return found

    def _listed(self, relation: Relation, name: str) -> Sequence[str]:
        """The values of a column that has few; otherwise a value that stands for all others."""
        closed = self._closed.get(relation.oid, {}).get(name)
        return [""] if closed is None else closed.values

    def _deleted(self, function: Function) -> set[int]:
        """The tables of which a function deletes rows."""
        statements = [s["relation"] for s in parse_trees.nodes(self._trees(function), "DeleteStmt")]
        names = {(one.get("schemaname"), one["relname"]) for one in statements}
        return {
            r.oid
            for r in self._catalog.tables
            if (r.schema, r.name) in names or (None, r.name) in names
        }

    def _asks(self, function: Function, name: str) -> bool:
        """Whether a condition of a function has a column: its own, that of a function that it
        calls, or that of a trigger or an index of a table that it writes.
        """
        return name in self._words(function)

    def _words(self, function: Function) -> set[str]:
        if function.oid not in self._asked:
            usage = self._usage
            written = {oid for oid, _ in usage.bodies.sets[function.oid]}
            written |= usage.bodies.adds[function.oid]
            relations = [self._catalog.by_oid[oid] for oid in written]
            oids = {function.oid, *usage.bodies.callees.get(function.oid, ())}
            oids |= {oid for r in relations for oid in r.triggers}
            found = set[str]()
            for one in (self._by_oid[oid] for oid in oids if oid in self._by_oid):
                found |= usage.conditions.tested.get(one.oid, set()) | bodies.tested_names(one.body)
            for relation in relations:
                for text in relation.partial:
                    found |= bodies.tested_names(f"where {text}")
            self._asked[function.oid] = found
        return self._asked[function.oid]

    @cached_property
    def _asked(self) -> dict[int, set[str]]:
        return {}

    def _trees(self, function: Function) -> Trees:
        return parse_trees.body_trees(function.language, function.body)


def demanded_queries(node: object, *, is_demanded: bool) -> Iterator[Node]:
    """The queries of EXISTS that must have a row, if an expression `is_demanded` or must be
    false.
    """
    if isinstance(node, list):
        for part in node:
            yield from demanded_queries(part, is_demanded=is_demanded)
    if not isinstance(node, dict):
        return
    if truth.excludes(node):
        operands = node["BoolExpr"]["args"]
        yield from demanded_queries(operands, is_demanded=not is_demanded)
        return
    link = node.get("SubLink", {})
    if is_demanded and link.get("subLinkType") == "EXISTS_SUBLINK":
        yield link["subselect"]["SelectStmt"]
    for part in node.values():
        yield from demanded_queries(part, is_demanded=is_demanded)


def is_step(node: object, name: str, operator: str) -> bool:
    """Whether an expression adds something to a column, or subtracts it."""
    fields = node.get("A_Expr", {}) if isinstance(node, dict) else {}
    if not fields or fields["name"][-1]["String"]["sval"] != operator:
        return False
    left = expressions.value(fields.get("lexpr"))
    return isinstance(left, Reference | Selected) and getattr(left, "column", "") == name
