"""Arguments of functions: the columns that they are compared with, and the constants passed."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.policies import expressions, parse_trees, queries
from supabase_jobs.audit.policies.expressions import Comparison, Literal, Reference, Value
from supabase_jobs.audit.policies.parse_trees import Node
from supabase_jobs.audit.policies.usage.comparisons import Comparisons
from supabase_jobs.audit.policies.usage.names import Names
from supabase_jobs.audit.policies.uses import ColumnKey, Usage, extend


class Arguments:
    """Notes what functions do with their arguments, and what is passed to them."""

    def __init__(self, names: Names, usage: Usage, comparisons: Comparisons) -> None:
        self._names, self._usage, self._catalog = names, usage, names.catalog
        self._comparisons = comparisons

    def note_arguments(self, function: Function, compared: Iterable[Comparison]) -> None:
        """Note the columns that a function compares with its arguments: those by which it looks a
        row up, and those with an enum that it orders.
        """
        for comparison in compared:
            if comparison.operator not in ("=", *expressions.ORDERING, expressions.BOTH_NULL):
                continue
            for left, right in comparison.both_ways:
                if not isinstance(left, Reference) or not isinstance(right, Reference):
                    continue
                if right.table not in (None, function.name):
                    continue
                name = function.argument(right.column)
                if not name:
                    continue
                key = self._names.column(left, comparison.scopes, None)
                if key is not None and comparison.operator == expressions.BOTH_NULL:
                    self._usage.bodies.null_arguments.setdefault((function.oid, name), key)
                elif key is not None and (comparison.operator == "=" or self._names.is_enum(key)):
                    known = self._usage.bodies.arguments.setdefault((function.oid, name), [])
                    extend(known, [key])
        body = self._names.bodies[function.oid]
        inserted = queries.inserted(body, self._names.columns_of)
        for target, column, node in (*inserted, *queries.assigned(body)):
            relation, name = self._names.by_name.get(target), _argument(function, node)
            if relation is None or not name:
                continue
            if any(column in key.columns for key in relation.foreign_keys):
                known = self._usage.bodies.arguments.setdefault((function.oid, name), [])
                extend(known, [(relation.oid, column)])

    def compared_with_argument(
        self, function: Function, comparison: Comparison, left: Value, right: Value
    ) -> ColumnKey | None:
        """The column on one side of a comparison, if the other one is an argument."""
        if not isinstance(left, Reference) or not isinstance(right, Reference):
            return None
        if right.table not in (None, function.name) or not function.argument(right.column):
            return None
        return self._names.column(left, comparison.scopes, None)

    def note_passed_on(self) -> None:
        """Note the columns with which a function compares the argument of another one."""
        passed = [*chain.from_iterable(map(self._passed_on, self._catalog.functions))]
        known, size = self._usage.bodies.arguments, -1
        while size != sum(map(len, known.values())):
            size = sum(map(len, known.values()))
            for passing, taking in passed:
                extend(known.setdefault(passing, []), known.get(taking, ()))

    def _passed_on(self, function: Function) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
        """The arguments that a function passes to another one, with those that they become."""
        for call in parse_trees.nodes(self._names.bodies[function.oid], "FuncCall"):
            for called in self._names.functions(parse_trees.name_of(call)):
                for name, node in self._names.passed(called, call):
                    if own := _argument(function, node):
                        yield (function.oid, own), (called.oid, name)

    def note_taken(self, passed: Mapping[ColumnKey, set[tuple[int, str]]]) -> None:
        """Note the columns with which functions compare the columns that policies pass to them."""
        for column, arguments in passed.items():
            for argument in arguments:
                for other in self._usage.bodies.arguments.get(argument, ()):
                    self._comparisons.note_equated(column, other)

    def note_passed(self) -> None:
        """Note the constants that policies and functions pass to a function which compares a column
        with that argument: has_role('admin').
        """
        policies = [policy for relation in self._catalog.relations for policy in relation.policies]
        texts = [text for p in policies for text in (p.visible, p.checked) if text is not None]
        trees = [*map(parse_trees.expression_tree, texts), *self._names.bodies.values()]
        for call in parse_trees.nodes(trees, "FuncCall"):
            for function in self._names.functions(parse_trees.name_of(call)):
                for name, node in self._names.passed(function, call):
                    self._note_argument(function, name, node)

    def _note_argument(self, function: Function, name: str, node: Node) -> None:
        keys = self._usage.bodies.arguments.get((function.oid, name), ())
        passed = map(expressions.value, parse_trees.elements(node))
        texts = [value.text for value in passed if isinstance(value, Literal)]
        for key in keys:
            extend(self._usage.constants.literals.setdefault(key, []), texts)


def _argument(function: Function, node: Node) -> str:
    """The argument that an expression of a body is, or ''."""
    named = expressions.value(node)
    if not isinstance(named, Reference) or named.table not in (None, function.name):
        return ""
    return function.argument(named.column)
