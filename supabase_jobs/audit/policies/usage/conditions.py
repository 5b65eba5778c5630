"""Conditions of functions: constants, the caller, times and numbers that they ask for."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.policies import bodies, expressions, parse_trees, queries, truth
from supabase_jobs.audit.policies.expressions import (
    NOW,
    Claim,
    Comparison,
    Literal,
    Now,
    Reference,
    Selected,
    Value,
)
from supabase_jobs.audit.policies.parse_trees import Node
from supabase_jobs.audit.policies.usage.names import Names
from supabase_jobs.audit.policies.uses import ColumnKey, Moment, Usage

# more than an interval that is no constant
_LONG = timedelta(days=3653)


class Conditions:
    """Notes what the queries of functions demand, and what their guards refuse."""

    def __init__(self, names: Names, usage: Usage) -> None:
        self._names, self._usage = names, usage

    def note_tested(self, function: Function, conditions: Iterable[Node]) -> None:
        """Note the names of the columns in the conditions of a body."""
        alone = queries.without_tables(self._names.bodies[function.oid])
        named = queries.references([*conditions, *alone])
        self._usage.conditions.tested[function.oid] = {reference.column for reference in named}

    def note_demands(
        self, function: Function, conditions: Iterable[Node], queried: Iterable[Comparison]
    ) -> None:
        """Note the constants that the queries of a function ask for; the first of each column."""
        found: dict[ColumnKey, str | None] = {}
        for comparison in queried:
            column, other = comparison.left, comparison.right
            is_null = comparison.operator == expressions.IS_NULL
            if not isinstance(column, Reference) or not isinstance(other, Literal):
                continue
            key = self._names.column(column, comparison.scopes, None)
            if key is not None and (is_null or comparison.operator == "="):
                found.setdefault(key, None if is_null else other.text)
        for condition in conditions:
            for key, is_wanted in self._names.flags(condition):
                found.setdefault(key, "true" if is_wanted else "false")
        self._usage.conditions.demands[function.oid] = found

    def note_caller_and_time(self, function: Function, queried: Iterable[Comparison]) -> None:
        """Note the columns that the queries of a function compare with the caller and with now."""
        rows = self._names.rows_in_variables(function)
        own = self._usage.conditions.own.setdefault(function.oid, set())
        later = self._usage.conditions.later.setdefault(function.oid, set())
        earlier = self._usage.conditions.earlier.setdefault(function.oid, set())
        for comparison in queried:
            operator = comparison.operator
            for column, other in comparison.both_ways:
                if not isinstance(column, Reference):
                    continue
                is_row = column.table in rows and column.table not in comparison.scopes
                scopes = rows if is_row else comparison.scopes
                key = self._names.column(column, scopes, None)
                if key is None:
                    continue
                is_less = (column is comparison.left) == (operator in expressions.LESS)
                is_caller = isinstance(other, Claim) and bool(other.path)
                if is_caller and operator == "=":
                    own.add(key)
                elif operator == expressions.IS_NOT_NULL and self._names.is_moment(key):
                    earlier.add(key)
                    self._note_moment(function, key, "<", NOW)
                elif isinstance(other, Now) and operator == "=":
                    self._note_moment(function, key, operator, other)
                elif isinstance(other, Now) and operator in expressions.ORDERING:
                    self._note_moment(function, key, "<" if is_less else ">", other)
                    # a time close to now is not on the other side of an interval
                    if is_less and other.beside != "-":
                        earlier.add(key)
                    if not is_less and other.beside != "+":
                        later.add(key)

    def _note_moment(self, function: Function, key: ColumnKey, order: str, now: Now) -> None:
        """Note that a function demands a time before, behind or at a time beside now."""
        found = self._usage.conditions.moments.setdefault(function.oid, {}).setdefault(
            key, Moment()
        )
        if order != "<":
            found.behind.append(_distance(now, "+"))
        if order != ">":
            found.before.append(_distance(now, "-"))

    def note_refusing(self, function: Function) -> None:
        """Note what a row in a variable must be so that no IF raises an error about it."""
        rows = self._names.rows_in_variables(function)
        values: dict[str, Reference] = {}
        for name, table, column in bodies.variables(function):
            relation = self._names.by_name.get(table)
            if relation is not None and column in relation.by_name:
                values[name] = Reference(table, column)
        for text in bodies.refusing(function):
            for condition in truth.any_of(parse_trees.expression_tree(text)):
                self._note_loose(function, condition)
                if rows or values:
                    self._note_refused(function, condition, rows, values)

    def note_capacities(self, function: Function) -> None:
        """Note the columns with which a body compares a number of rows."""
        rows = self._names.rows_in_variables(function)
        found = self._usage.conditions.capacities.setdefault(function.oid, set())
        for fields in parse_trees.nodes(self._names.bodies[function.oid], "A_Expr"):
            sides = [fields.get("lexpr"), fields.get("rexpr")]
            counts = [("count",) in parse_trees.calls(side) for side in sides]
            if (
                fields["name"][-1]["String"]["sval"] not in expressions.ORDERING
                or counts[0] == counts[1]
            ):
                continue
            limit = sides[counts.index(False)] or {}
            query = limit.get("SubLink", {}).get("subselect")
            column = queries.selected(query) if query else expressions.value(limit)
            if isinstance(column, Selected):
                column = Reference(column.table, column.column)
            key = self._names.column(column, rows, None) if isinstance(column, Reference) else None
            found |= {key} if key is not None else set()

    def _note_loose(self, function: Function, condition: Node) -> None:
        """Note that a guard compares what a function selects, such as the role of the caller, only
        by <>, which is not true of NULL: who has no such row passes.
        """
        if any(parse_trees.nodes(condition, "CoalesceExpr")) or expressions.is_distinct(condition):
            return
        for comparison in expressions.comparisons(condition, self._names.lookup):
            if comparison.operator == "<>" and isinstance(comparison.left, Selected):
                self._usage.conditions.loosely.add(function.oid)

    def _note_refused(
        self,
        function: Function,
        condition: Node,
        rows: Mapping[str, str],
        values: Mapping[str, Reference],
    ) -> None:
        """Note the opposite of one condition about a row in a variable."""
        if any(parse_trees.nodes(condition, "SubLink")):
            return  # it is about other rows
        demands = self._usage.conditions.demands[function.oid]

        def key_of(side: Value | None) -> ColumnKey | None:
            if not isinstance(side, Reference):
                return None
            named = values.get(side.column) if side.table is None else side
            is_row = side.table in rows or side.table is None
            return self._names.column(named, rows, None) if named is not None and is_row else None

        is_negated = truth.excludes(condition)
        operands = condition["BoolExpr"]["args"] if is_negated else [condition]
        flag = key_of(expressions.value(operands[0]))
        if flag is not None:
            demands.setdefault(flag, "true" if is_negated else "false")
        for comparison in (
            () if is_negated else expressions.comparisons(condition, self._names.lookup)
        ):
            operator = comparison.operator
            if operator == "=" and expressions.is_distinct(condition):
                operator = "<>"
            key, other = key_of(comparison.left), comparison.right
            if key is None:
                continue
            if operator == expressions.IS_NOT_NULL:
                demands.setdefault(key, None)
            elif operator == "<>" and isinstance(other, Literal):
                demands.setdefault(key, other.text)
            elif isinstance(other, Now) and operator in ("<>", *expressions.ORDERING):
                self._note_refused_time(function, key, operator, other)
            elif operator == "<>" and isinstance(other, Claim) and other.path:
                self._usage.conditions.own[function.oid].add(key)

    def _note_refused_time(
        self, function: Function, key: ColumnKey, operator: str, now: Now
    ) -> None:
        """Note the opposite of a comparison with a time beside now."""
        if operator in ("<", "<=") and now.beside != "+":
            self._usage.conditions.later[function.oid].add(key)
        elif operator in (">", ">=") and now.beside != "-":
            self._usage.conditions.earlier[function.oid].add(key)
        order = "=" if operator == "<>" else {"<": ">", ">": "<"}[operator[0]]
        self._note_moment(function, key, order, now)


def _distance(now: Now, hard: str) -> timedelta:
    """How far from now a time is; of an interval that is no constant, what satisfies a comparison
    that it makes `hard` to satisfy.
    """
    distance = now.distance
    if distance is None:
        distance = _LONG if now.beside == hard else timedelta()
    return -distance if now.beside == "-" else distance
