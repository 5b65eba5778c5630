"""Names in policies and functions: the tables, columns, functions and values that they mean."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from supabase_jobs.audit.catalog import Catalog, Function, Relation
from supabase_jobs.audit.policies import bodies, expressions, parse_trees, queries
from supabase_jobs.audit.policies.expressions import (
    USER_ID,
    Claim,
    Comparison,
    Header,
    Literal,
    Reference,
    Selected,
    Value,
)
from supabase_jobs.audit.policies.parse_trees import Node
from supabase_jobs.audit.policies.uses import ColumnKey


class Names:
    """The names of a catalog. An unqualified table prefers the schema public."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.by_name: dict[str, Relation] = {}
        for relation in reversed(catalog.relations):
            self.by_name[relation.name] = relation
            self.by_name[relation.label] = relation
        for relation in catalog.relations:
            if relation.schema == "public":
                self.by_name[relation.name] = relation
        self._by_function: dict[str, list[Function]] = {}
        for function in catalog.functions:
            self._by_function.setdefault(function.name, []).append(function)
        self.bodies = {f.oid: parse_trees.body_trees(f.language, f.body) for f in catalog.functions}
        self.words = {f.signature: {*words_of(f.body)} for f in catalog.functions}
        self._values: dict[str, Value | None] = {}

    def columns_of(self, table: str) -> Sequence[str]:
        """The names of the columns of a table, in order."""
        relation = self.by_name.get(table)
        return [] if relation is None else [column.name for column in relation.columns]

    def is_enum(self, key: ColumnKey) -> bool:
        """Whether a column has an enum."""
        oid, name = key
        return self.catalog.by_oid[oid].by_name[name].typtype == "e"

    def key_of(self, side: Value, comparison: Comparison) -> ColumnKey | None:
        """The column on one side of a comparison."""
        if not isinstance(side, Reference):
            return None
        return self.column(side, comparison.scopes, None)

    def flags(self, query: Node) -> Iterator[tuple[ColumnKey, bool]]:
        """The columns that are conditions of a query by themselves, and whether it wants them."""
        [statement] = query.values()
        scopes = parse_trees.tables_of(statement)
        for flag, is_wanted in queries.flags(statement):
            key = self.column(flag, scopes, None)
            if key is not None:
                yield key, is_wanted

    def is_moment(self, key: ColumnKey) -> bool:
        """Whether a column holds a date or a time."""
        oid, name = key
        return self.catalog.by_oid[oid].by_name[name].category == "D"

    def passed(self, function: Function, call: Node) -> Iterator[tuple[str, Node]]:
        """The arguments of a call by their names; those behind the last one are variadic."""
        names = function.argument_names[: len(function.argument_types)]
        for number, node in enumerate(call.get("args", [])):
            if "NamedArgExpr" in node:
                yield node["NamedArgExpr"]["name"], node["NamedArgExpr"]["arg"]
            elif names:
                yield names[min(number, len(names) - 1)], node

    def named_column(
        self, value: Value, comparison: Comparison, relation: Relation | None
    ) -> ColumnKey | None:
        """The column that a value of a comparison is, or that a function selects."""
        if isinstance(value, Selected):
            return self.column(Reference(value.table, value.column), {}, None)
        if isinstance(value, Reference):
            return self.column(value, comparison.scopes, relation)
        return None

    def column(
        self, reference: Reference, scopes: Mapping[str, str], relation: Relation | None
    ) -> ColumnKey | None:
        """The column of a reference, in these scopes or in a relation."""
        if reference.table is not None:
            target = self.by_name.get(scopes.get(reference.table, reference.table))
            return (
                (target.oid, reference.column)
                if target and reference.column in target.by_name
                else None
            )
        tables = [self.by_name.get(name) for name in reversed(list(scopes.values()))]
        for candidate in (*tables, relation):
            if candidate is not None and reference.column in candidate.by_name:
                return candidate.oid, reference.column
        return None

    def lookup(self, name: tuple[str, ...]) -> Value | None:
        """The value that a function of the project reads from the request, if it does only that, or
        the column that it selects.
        """
        key = ".".join(name)
        if key not in self._values:
            self._values[key] = None  # ends a recursion
            for function in self.functions(name):
                body = self.expanded(self.bodies[function.oid])
                value = self._returned(body)
                if value is not None:
                    self._values[key] = value
                elif self._values[key] is None:
                    self._values[key] = self._only_value(body)
                if self._values[key] is None:
                    self._values[key] = self.selected(function)
                if self._returns_caller(function):
                    self._values[key] = USER_ID
        return self._values[key]

    def _returns_caller(self, function: Function) -> bool:
        """Whether a body returns a column by which it finds the row of its caller: it is the id of
        the caller.
        """
        returned = self._returned_column(function)
        if returned is None:
            return False
        asked = queries.conditions(self.bodies[function.oid])
        compared = [one for query in asked for one in expressions.comparisons(query)]
        pairs = [pair for one in compared if one.operator == "=" for pair in one.both_ways]
        scopes = {id(side): one.scopes for one in compared for side in (one.left, one.right)}
        return any(
            other == USER_ID
            and isinstance(side, Reference)
            and self.column(side, scopes[id(side)], None) == returned
            for side, other in pairs
        )

    def _returned_column(self, function: Function) -> ColumnKey | None:
        """The only column that a body returns, from a query or from a row in a variable."""
        selected = self.selected(function)
        if selected is not None:
            return self.column(Reference(selected.table, selected.column), {}, None)
        rows = self.rows_in_variables(function)
        returned = expressions.value(queries.returned(self.bodies[function.oid]))
        if not isinstance(returned, Reference) or returned.table not in rows:
            return None
        return self.column(returned, rows, None)

    def rows_in_variables(self, function: Function) -> dict[str, str]:
        """The variables of a body with a row of a table, and the table."""
        variables = bodies.variables(function)
        return {name: table for name, table, c in variables if not c and table in self.by_name}

    def selected(self, function: Function) -> Selected | None:
        """The only column that a body selects, such as the role of the caller."""
        found = {queries.selected(tree) for tree in self.bodies[function.oid]} - {None}
        return found.pop() if len(found) == 1 else None

    def _returned(self, body: Any) -> Value | None:
        """The claim or header that a body selects, without a table."""
        value = expressions.value(queries.returned(body), self.lookup)
        return value if isinstance(value, Claim | Header) else None

    def _only_value(self, body: Any) -> Value | None:
        """The only claim or header that a body mentions, if it reads no table."""
        read = expressions.request_values(body)
        if len(read) != 1 or parse_trees.tables(body):
            return None
        [value] = read
        return value

    def expanded(self, tree: Any, within: frozenset[int] = frozenset()) -> Any:
        """A tree with the bodies of functions in place of their calls with constants, such as
        claim('role'), as far as a body is one expression.
        """
        if isinstance(tree, list):
            return [self.expanded(part, within) for part in tree]
        if not isinstance(tree, dict):
            return tree
        if "FuncCall" in tree:
            for function in self.functions(parse_trees.name_of(tree["FuncCall"])):
                body = self._with_constants(function, tree["FuncCall"])
                if body is not None and function.oid not in within:
                    return self.expanded(body, within | {function.oid})
        return {name: self.expanded(part, within) for name, part in tree.items()}

    def _with_constants(self, function: Function, call: Node) -> Node | None:
        """The expression of a function with the constants of a call; None if it is none."""
        passed = list(self.passed(function, call))
        if not all(isinstance(expressions.value(node), Literal) for _, node in passed):
            return None
        returned = queries.returned(self.bodies[function.oid])
        if returned is None or not passed:
            return None
        names = function.argument_names
        places = {f"${names.index(name) + 1}": node for name, node in passed if name in names}
        found: Node = queries.applied(returned, {**dict(passed), **places}, function.name)
        return found

    def functions(self, name: tuple[str, ...]) -> list[Function]:
        """The functions of a name, which may have a schema."""
        found = self._by_function.get(name[-1], [])
        return [f for f in found if len(name) == 1 or f.schema == name[-2]]

    def tables(self, tree: Any, seen: set[int]) -> set[int]:
        """The tables that an expression reads, through functions too."""
        found = {
            r.oid for name in parse_trees.tables(tree) if (r := self.by_name.get(name)) is not None
        }
        for name in parse_trees.calls(tree):
            for function in self.functions(name):
                if function.oid not in seen:
                    seen.add(function.oid)
                    found |= self.tables(self.bodies[function.oid], seen) | self.mentioned(function)
        return found

    def called(self, tree: Any) -> set[int]:
        """The functions that a tree calls, directly or by other functions."""
        signatures = list[str]()
        self.add_called(tree, signatures)
        return {f.oid for f in self.catalog.functions if f.signature in signatures}

    def add_called(self, tree: Any, found: list[str]) -> None:
        """Add the signatures of the functions that an expression calls, directly or by other
        functions.
        """
        for name in sorted(parse_trees.calls(tree)):
            for function in self.functions(name):
                if function.signature not in found:
                    found.append(function.signature)
                    self.add_called(self.bodies[function.oid], found)

    def contains(self, function: Function, pattern: re.Pattern[str], seen: set[int]) -> bool:
        """Whether a body has a text, or calls a function of the project that has it."""
        if pattern.search(function.body):
            return True
        called = [
            f for name in parse_trees.calls(self.bodies[function.oid]) for f in self.functions(name)
        ]
        new = [f for f in called if f.oid not in seen]
        seen |= {f.oid for f in new}
        return any(self.contains(f, pattern, seen) for f in new)

    def mentioned(self, function: Function) -> set[int]:
        """The tables that a body mentions as words, for what the parser does not see."""
        words = self.words[function.signature]
        return {r.oid for r in self.catalog.relations if r.name in words}


def words_of(text: str) -> list[str]:
    """The words of a text."""
    return re.findall(r"\w+", text)
