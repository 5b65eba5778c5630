"""Conditions about a row for which one function asks, and another one that acts on the same kind of
row does not; marks that a function leaves and does not look for; and rows that belong together, and
persons who decide, which it does not tell apart.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cached_property

from supabase_jobs.audit.catalog import Column, Function, Relation
from supabase_jobs.audit.policies import bodies, expressions, parse_trees, queries
from supabase_jobs.audit.policies.expressions import (
    NOW,
    USER_ID,
    Literal,
    Now,
    Reference,
)
from supabase_jobs.audit.policies.parse_trees import Node, Trees
from supabase_jobs.audit.policies.siblings import (
    Omission,
    Siblings,
    Unasked,
    demanded_queries,
    is_step,
)
from supabase_jobs.audit.policies.uses import ColumnKey

_CALLERS = {"anon", "authenticated"}
_TIMES = ("date", "timestamp", "timestamptz")


class UnlikeSiblings(Siblings):
    """The conditions for which other functions ask, and one does not."""

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

    def _has_parent(self, oids: Collection[int], parent: int) -> bool:
        keys = [key for oid in oids for key in self._catalog.by_oid[oid].foreign_keys]
        return any(key.target == parent for key in keys)


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
