"""Conditions about a row for which one function asks, and another one that acts on the same kind of
row does not; marks that a function leaves and does not look for; and rows that belong together, and
persons who decide, which it does not tell apart.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from supabase_jobs.audit.catalog import Catalog, Column, Function, Relation
from supabase_jobs.audit.policies import bodies, expressions, parse_trees, queries, truth
from supabase_jobs.audit.policies.expressions import (
    NOW,
    USER_ID,
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
        """The omissions of the functions that write with the rights of their owner, and the
        conditions of others without effect.
        """
        for function in self._functions:
            yield from self._of_joins(function)
            if not function.definer:
                continue
            yield from self._of_callers(function)
            if function.volatility != "v":
                continue
            yield from self._of_states(function)
            yield from self._of_values(function)
            yield from self._of_marks(function)
            yield from self._of_demanded_rows(function)
            yield from self._of_roles(function)
            yield from self._of_ties(function)
            yield from self._of_decisions(function)
            yield from self._of_new_rows(function)

    def _of_states(self, function: Function) -> Iterator[Unasked]:
        """The states of a row that others ask for; not if the function only changes states."""
        if not self._acts(function):
            return
        for oid in sorted(self._rows(function) - {*self._giving}):
            relation = self._catalog.by_oid[oid]
            places: dict[str, list[str]] = {}
            for other in self._functions:
                if other is function or oid not in self._found(other):
                    continue
                for name in sorted(self._demanded(function, other, relation)):
                    if not self._asks(function, name):
                        places.setdefault(name, []).append(other.signature)
            named = dict.fromkeys(place for found in places.values() for place in found)
            if places:
                yield Unasked(
                    what=Omission.STATE,
                    function=function.signature,
                    table=relation.label,
                    columns=[*places],
                    places=[*named],
                )

    def _of_values(self, function: Function) -> Iterator[Unasked]:
        """The columns of which a function refuses a value, and a function that takes back what it
        adds demands another one.
        """
        for oid in sorted(self._found(function) - {*self._giving}):
            relation = self._catalog.by_oid[oid]
            refused = self._values(function, relation, "<>")
            equal = self._values(function, relation, "=")
            for other in self._functions:
                below = self._usage.bodies.adds[function.oid] & self._deleted(other)
                if other is function or not self._has_parent(below, oid):
                    continue
                for name, demanded in self._values(other, relation, "=").items():
                    values = refused.get(name, set())
                    left = {*self._listed(relation, name)} - values - demanded
                    if values and name not in equal and not values & demanded and left:
                        yield Unasked(
                            what=Omission.VALUES,
                            function=function.signature,
                            table=relation.label,
                            columns=[name],
                            places=[other.signature],
                            values=sorted(values),
                        )

    def _of_marks(self, function: Function) -> Iterator[Unasked]:
        """The columns that a function sets, or counts, in a row that its caller chooses."""
        trees = self._trees(function)
        found = self._found(function)
        for label, name, node in queries.assigned(trees):
            relation = self._labelled.get(label)
            if relation is None or relation.oid not in found or self._asks(function, name):
                continue
            column = relation.by_name[name]
            limits = [c.name for c in relation.columns if self._is_limit(c, name)]
            one = Unasked(
                what=Omission.MARK,
                function=function.signature,
                table=relation.label,
                columns=[name],
            )
            is_now = expressions.value(node) == NOW
            is_mark = is_now and _is_mark(column) and self._gives_number(function, relation)
            if is_mark or self._is_claimed(relation, column, node):
                yield one
            elif limits and is_step(node, name, "+"):
                yield replace(one, what=Omission.LIMIT, values=limits)
            elif self._is_used_up(relation, name, node):
                yield replace(one, what=Omission.REST)

    def _is_claimed(self, relation: Relation, column: Column, node: Node) -> bool:
        """Whether a value names the caller in a column that is empty in new rows, and that a policy
        or another function demands to be empty.
        """
        called = {name[-1] for name in parse_trees.calls(node)}
        asking = {f.name for f in self._catalog.functions if f.oid in self._usage.conditions.asking}
        names_caller = expressions.value(node) == USER_ID or bool(called & asking)
        is_empty = not column.not_null and column.default is None
        return (
            names_caller and is_empty and (relation.oid, column.name) in self._usage.mentions.nulls
        )

    def _is_used_up(self, relation: Relation, name: str, node: Node) -> bool:
        """Whether a value takes one or more from a number that no CHECK limits, and that nothing
        adds to: one that is counted both ways is no stock.
        """
        checks = [one.definition or "" for one in relation.constraints if one.kind == "c"]
        is_checked = any(re.search(rf"\b{re.escape(name)}\b", text) for text in checks)
        is_number = relation.by_name[name].category == "N"
        is_raised = (relation.oid, name) in self._raised
        return is_number and is_step(node, name, "-") and not (is_checked or is_raised)

    @cached_property
    def _raised(self) -> set[ColumnKey]:
        """The numbers to which some function adds."""
        found = set[ColumnKey]()
        for function in self._catalog.functions:
            for label, name, node in queries.assigned(self._trees(function)):
                relation = self._labelled.get(label)
                if relation is not None and is_step(node, name, "+"):
                    found.add((relation.oid, name))
        return found

    def _of_callers(self, function: Function) -> Iterator[Unasked]:
        """The states of the row by which a function finds its caller, if each helper asks for them
        that finds it in the same way, and the function is about other rows, too.
        """
        usage = self._usage
        reads = usage.bodies.function_reads.get(function.oid, set())
        for oid, column in sorted(usage.conditions.own[function.oid]):
            helpers = [
                one for one in self._helpers if (oid, column) in usage.conditions.own[one.oid]
            ]
            if not reads - {oid} or not helpers or function in helpers:
                continue
            columns = []
            for name in sorted(self._catalog.by_oid[oid].by_name):
                is_demanded = all(
                    (oid, name) in usage.conditions.demands[one.oid] for one in helpers
                )
                if is_demanded and self._is_state((oid, name)) and not self._asks(function, name):
                    columns.append(name)
            if columns:
                yield Unasked(
                    what=Omission.CALLER,
                    function=function.signature,
                    table=self._catalog.by_oid[oid].label,
                    columns=columns,
                    places=[one.signature for one in helpers],
                )

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

    def _of_demanded_rows(self, function: Function) -> Iterator[Unasked]:
        """The columns with the person of a row without which a function refuses its caller, if it
        neither asks for the person nor finds the row by its key.
        """
        usage = self._usage
        if function.oid not in usage.conditions.asking:
            return
        asking = {f.name for f in self._catalog.functions if f.oid in usage.conditions.asking}
        asking |= {"uid", "jwt"}
        for condition in map(parse_trees.expression_tree, bodies.refusing(function)):
            for query in demanded_queries(condition, is_demanded=False):
                if asking & {name[-1] for name in parse_trees.calls(query)}:
                    continue
                for alias, label in parse_trees.tables_of(query).items():
                    relation, used = self._labelled.get(label), queries.references(query)
                    named = {one.column for one in used if one.table in (alias, None)}
                    if relation is None or named & {key[0] for key in _single_keys(relation)}:
                        continue
                    owners = {name for oid, name in usage.persons.owners if oid == relation.oid}
                    if owners and not named & owners:
                        yield Unasked(
                            what=Omission.WHOSE,
                            function=function.signature,
                            table=relation.label,
                            columns=sorted(owners),
                        )

    def _of_roles(self, function: Function) -> Iterator[Unasked]:
        """The columns with a role that a function sets as its caller says, if it refuses some roles
        and not one that its guard admits: who has it gives it to others.
        """
        trees = self._trees(function)
        for label, name, node in queries.assigned(trees):
            relation, given = self._labelled.get(label), expressions.value(node)
            is_given = isinstance(given, Reference) and bool(function.argument(given.column))
            if relation is None or relation.oid not in self._giving or not is_given:
                continue
            labels = {*self._listed(relation, name)}
            compared = [
                one.right.text
                for one in self._comparisons(function)
                if one.left == given and isinstance(one.right, Literal)
            ]
            callees = self._usage.bodies.callees.get(function.oid, set())
            called = [self._trees(self._by_oid[oid]) for oid in callees if oid in self._by_oid]
            admitted = {text for one in called for text in parse_trees.literals(list(one))} & labels
            left = sorted(admitted - {*compared})
            if labels & {*compared} and left:
                yield Unasked(
                    what=Omission.ROLE,
                    function=function.signature,
                    table=relation.label,
                    columns=[name],
                    values=left,
                )

    def _of_ties(self, function: Function) -> Iterator[Unasked]:
        """The columns by which the row of one argument refers to that of another, if the function
        neither compares nor sets them.
        """
        joins = parse_trees.nodes(self._trees(function), "JoinExpr")
        used = {one["String"]["sval"] for join in joins for one in join.get("usingClause", ())}
        set_ = self._usage.bodies.sets[function.oid]
        found = self._found(function)
        for oid in sorted(found - self._usage.bodies.adds[function.oid]):
            relation = self._catalog.by_oid[oid]
            for key in relation.foreign_keys:
                [name, *others] = key.columns
                is_pair = key.target in found - {oid} and not others
                is_known = name in used or (oid, name) in set_ or self._asks(function, name)
                if is_pair and not is_known:
                    yield Unasked(
                        what=Omission.TIE,
                        function=function.signature,
                        table=relation.label,
                        columns=[name],
                        values=[self._catalog.by_oid[key.target or 0].label],
                    )

    def _of_decisions(self, function: Function) -> Iterator[Unasked]:
        """The columns on which other code depends, and that a function lets either of two persons
        set in a row, one of whom adds such rows.
        """
        usage, trees = self._usage, self._trees(function)
        own = {name: oid for oid, name in usage.conditions.own[function.oid]}
        deciding = {name for one in _alternatives(trees) for name in one if name in own}
        adding = {name for name in deciding if self._adds_own(own[name], name)}
        for label, name, node in queries.assigned(trees) if len(deciding) > 1 else ():
            relation, given = self._labelled.get(label), expressions.value(node)
            if relation is None or not isinstance(given, Literal) or name in own:
                continue
            persons = sorted(one for one in adding if own[one] == relation.oid)
            places = [
                one.signature
                for one in self._catalog.functions
                if one is not function
                if usage.conditions.demands.get(one.oid, {}).get((relation.oid, name)) == given.text
            ]
            if persons and places:
                yield Unasked(
                    what=Omission.DECISION,
                    function=function.signature,
                    table=relation.label,
                    columns=[name],
                    places=places,
                    values=persons,
                )

    def _of_new_rows(self, function: Function) -> Iterator[Unasked]:
        """The columns of new rows that a function which asks nobody takes from its arguments, where
        no policy lets anybody add rows. Who names a row that exists is asked by that.
        """
        if function.oid in self._usage.conditions.asking or self._found(function):
            return
        chosen: dict[str, list[str]] = {}
        for label, name, node in queries.inserted(self._trees(function), self._columns):
            relation = self._labelled.get(label)
            given = (one.column for one in queries.references(node))
            if relation is not None and _is_closed(relation) and any(map(function.argument, given)):
                chosen.setdefault(relation.label, []).append(name)
        for table, names in chosen.items():
            yield Unasked(
                what=Omission.NOBODY,
                function=function.signature,
                table=table,
                columns=[*dict.fromkeys(names)],
            )

    def _adds_own(self, oid: int, column: str) -> bool:
        """Whether a policy or a function lets its caller add rows that name them in a column."""
        if (oid, column) in self._usage.persons.checked:
            return True
        adding = [f for f in self._functions if oid in self._usage.bodies.adds[f.oid]]
        asking = {f.name for f in self._catalog.functions if f.oid in self._usage.conditions.asking}
        for function in adding:
            for label, name, node in queries.inserted(self._trees(function), self._columns):
                relation = self._labelled.get(label)
                called = {one[-1] for one in parse_trees.calls(node)}
                is_caller = expressions.value(node) == USER_ID or bool(called & asking)
                if relation is not None and (relation.oid, name) == (oid, column) and is_caller:
                    return True
        return False

    def _columns(self, table: str) -> Sequence[str]:
        relation = self._labelled.get(table)
        return [] if relation is None else [column.name for column in relation.columns]

    def _gives_number(self, function: Function, marked: Relation) -> bool:
        """Whether a function adds a row elsewhere with a number that its caller does not choose."""
        for label, name, node in queries.inserted(self._trees(function), lambda _: ()):
            relation = self._labelled.get(label)
            if relation is None or relation is marked or name not in relation.by_name:
                continue
            given = expressions.value(node)
            is_chosen = isinstance(given, Literal) or (
                isinstance(given, Reference) and bool(function.argument(given.column))
            )
            keys = [*relation.unique_keys, *(key.columns for key in relation.foreign_keys)]
            is_key = any(name in columns for columns in keys)
            if relation.by_name[name].category == "N" and not is_key and not is_chosen:
                return True
        return False

    def _of_joins(self, function: Function) -> Iterator[Unasked]:
        """The columns that the condition of a LEFT JOIN demands, of a table of which the query uses
        nothing else.
        """
        for select in parse_trees.nodes(self._trees(function), "SelectStmt"):
            scopes = parse_trees.tables_of(select)
            for join in parse_trees.nodes(select.get("fromClause"), "JoinExpr"):
                joined = join["rarg"].get("RangeVar", {})
                alias = joined.get("alias", {}).get("aliasname", "")
                relation = self._labelled.get(scopes.get(alias, ""))
                is_left = join["jointype"] == "JOIN_LEFT" and "quals" in join
                if relation is None or not is_left or _is_used(select, join, alias, relation):
                    continue
                names = [n for n in _decided(join["quals"], alias) if n in relation.by_name]
                if names:
                    yield Unasked(
                        what=Omission.JOIN,
                        function=function.signature,
                        table=relation.label,
                        columns=names,
                    )

    @cached_property
    def _labelled(self) -> Mapping[str, Relation]:
        return {name: r for r in self._catalog.tables for name in (r.name, r.label)}

    def _is_limit(self, column: Column, counted: str) -> bool:
        """Whether a number is named like a counted one, and nothing of the project reads it."""
        is_unread = column.category == "N" and column.name not in self._usage.mentions.words
        parts = {*counted.split("_")} & {*column.name.split("_")}
        return is_unread and column.name != counted and bool(parts)

    def _acts(self, function: Function) -> bool:
        """Whether a function does more than to change states, or to delete rows."""
        if self._usage.bodies.adds[function.oid]:
            return True
        return any(not self._is_state(key) for key in self._usage.bodies.sets[function.oid])

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

    def _has_parent(self, oids: Collection[int], parent: int) -> bool:
        keys = [key for oid in oids for key in self._catalog.by_oid[oid].foreign_keys]
        return any(key.target == parent for key in keys)

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


def _is_mark(column: Column) -> bool:
    """Whether a time is missing in each new row."""
    return column.base in _TIMES and not column.not_null and column.default is None


def _decided(condition: Node, alias: str) -> list[str]:
    """The columns of a table that a condition compares with a constant or now, or demands."""
    found = [(one.left, one.right) for one in expressions.comparisons(condition)]
    sides = [*found, *((right, left) for left, right in found)]
    columns = [side for side, other in sides if isinstance(other, Literal | Now)]
    columns += [flag for flag, _ in queries.flags({"whereClause": condition})]
    named = [one for one in columns if isinstance(one, Reference) and one.table == alias]
    return [*dict.fromkeys(one.column for one in named)]


def _is_used(select: Node, join: Node, alias: str, relation: Relation) -> bool:
    """Whether a query uses a joined table besides the condition of the join."""
    counting = [call for call in parse_trees.nodes(select, "FuncCall") if "agg_star" in call]
    if counting or any(parse_trees.nodes(select, "A_Star")):
        return True
    named = [*queries.references(select)]
    for one in queries.references(join["quals"]):
        named.remove(one)
    return any(
        one.table == alias or (one.table is None and one.column in (alias, *relation.by_name))
        for one in named
    )


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


def _single_keys(relation: Relation) -> list[tuple[str, ...]]:
    """The unique keys of one column."""
    return [key for key in relation.unique_keys if len(key) == 1]


def _is_closed(relation: Relation) -> bool:
    """Whether no policy lets a request of users add rows to a table."""
    adding = [p for p in relation.policies if p.permissive and p.governs("insert")]
    roles = {role for role in _CALLERS if relation.may(role, "INSERT")}
    return relation.rls and not any(p.applies_to(role) for p in adding for role in roles)


def _alternatives(trees: Trees) -> Iterator[set[str]]:
    """The columns of each OR whose operands have different ones."""
    for operation in parse_trees.nodes(trees, "BoolExpr"):
        if operation["boolop"] == "OR_EXPR":
            parts: list[set[str]] = []
            for operand in operation["args"]:
                parts.append({one.column for one in queries.references(operand)})
            first, *others = parts
            yield first.union(*others) - first.intersection(*others)


def is_step(node: object, name: str, operator: str) -> bool:
    """Whether an expression adds something to a column, or subtracts it."""
    fields = node.get("A_Expr", {}) if isinstance(node, dict) else {}
    if not fields or fields["name"][-1]["String"]["sval"] != operator:
        return False
    left = expressions.value(fields.get("lexpr"))
    return isinstance(left, Reference | Selected) and getattr(left, "column", "") == name
