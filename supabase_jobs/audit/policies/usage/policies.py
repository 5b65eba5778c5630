"""Policies and the queries of views: persons, mentioned columns, and rows that refuse."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from supabase_jobs.audit.catalog import USERS, Policy, Relation
from supabase_jobs.audit.policies import expressions, parse_trees, queries
from supabase_jobs.audit.policies.expressions import (
    NOW,
    USER_ID,
    Claim,
    Comparison,
    Header,
    Literal,
    Reference,
    Selected,
)
from supabase_jobs.audit.policies.parse_trees import Node, Trees
from supabase_jobs.audit.policies.usage.comparisons import Comparisons
from supabase_jobs.audit.policies.usage.names import Names, words_of
from supabase_jobs.audit.policies.uses import ColumnKey, Condition, Usage
from supabase_jobs.audit.words import Words
from supabase_jobs.database.parser import syntax

# types of columns that may hold a user's id where no policy and no foreign key shows it
_USER_TYPES = ("uuid", "text", "varchar")


class Policies:
    """Notes what policies reveal. `passed` maps each column of a policy's own table to the
    arguments as which policies pass it to functions.
    """

    def __init__(self, names: Names, usage: Usage, words: Words, comparisons: Comparisons) -> None:
        self._names, self._usage, self._catalog = names, usage, names.catalog
        self._user_columns, self._comparisons = words.user_columns, comparisons
        self.passed: dict[ColumnKey, set[tuple[int, str]]] = {}

    def note_users(self, relation: Relation) -> None:
        """Note the columns that refer to auth.users, and those with the name of such a column."""
        for column in relation.columns:
            is_named = self._user_columns.matches(column.name) and column.base in _USER_TYPES
            if is_named and not _has_target(relation, column.name):
                self._usage.persons.users.add((relation.oid, column.name))
        for key in relation.foreign_keys:
            if key.target_name == USERS:
                self._usage.persons.users.update((relation.oid, name) for name in key.columns)

    def note_policy(self, relation: Relation, policy: Policy, text: str) -> set[int]:
        """Note what an expression of a policy reveals; the tables that it reads."""
        expression = parse_trees.expression_tree(text)
        tree = Trees([expression, *self._applied(expression, relation)])
        compared = list(expressions.comparisons(self._names.expanded(tree), self._names.lookup))
        self._comparisons.note(compared, relation)
        self.note_absent(relation, queries.denying(expression))
        called = self._usage.policies.policy_functions.setdefault((relation.oid, policy.name), [])
        self._names.add_called(tree, called)
        tables = self._names.tables(tree, set())
        self._note_mentioned(relation, text, called, tables)
        if policy.command != "r":
            words = self._usage.policies.write_words.setdefault(relation.oid, set())
            words.update(words_of(text), *(self._names.words[signature] for signature in called))
        owners = self._compared_with_caller(compared, relation)
        self._usage.persons.owners |= owners
        for key in self._compared_with_own_row(compared, relation, called):
            self._usage.policies.through.setdefault(key, set()).add(policy.command)
        if policy.command in ("a", "*") and text is (policy.checked or policy.visible):
            self._usage.persons.checked |= owners
        if policy.command in ("w", "*") and text is policy.visible:
            self._usage.persons.updating |= owners
        return tables

    def _applied(self, tree: Any, relation: Relation) -> Iterator[Any]:
        """The bodies of the functions that an expression calls with columns of its table, with
        these columns in them: a condition that was moved to a function means the same.
        """
        for call in parse_trees.nodes(tree, "FuncCall"):
            for function in self._names.functions(parse_trees.name_of(call)):
                body, names = self._names.bodies[function.oid], function.argument_names
                columns: dict[str, Node] = {}
                for number, (name, node) in enumerate(self._names.passed(function, call)):
                    column = expressions.value(node)
                    if isinstance(column, Reference) and column.column in relation.by_name:
                        node = parse_trees.column_of(relation.label, column.column)
                        columns[f"${(names.index(name) if name else number) + 1}"] = node
                        passed = self.passed.setdefault((relation.oid, column.column), set())
                        passed.add((function.oid, name))
                        columns |= {} if self._is_column(name, body) else {name: node}
                if columns:
                    yield queries.applied(body, columns, function.name)

    def _is_column(self, name: str, body: Any) -> bool:
        """Whether a table of a body has such a column, which goes before an argument."""
        tables = [self._names.by_name.get(table) for table in parse_trees.tables(body)]
        return any(table is not None and name in table.by_name for table in tables)

    def _note_mentioned(
        self, relation: Relation, text: str, called: Iterable[str], tables: Iterable[int]
    ) -> None:
        """Note the columns whose names a policy contains, or a function that it calls."""
        words = set(words_of(text))
        self._usage.mentions.words |= words
        mentioned = set[ColumnKey]()
        for column in relation.columns:
            if column.name in words or re.search(rf"\b{re.escape(column.name)}\b", text):
                mentioned.add((relation.oid, column.name))
        words = words.union(*(self._names.words[signature] for signature in called))
        for oid in (relation.oid, *tables):
            named = words.intersection(self._catalog.by_oid[oid].by_name)
            mentioned.update((oid, name) for name in named)
        self._usage.mentions.mentioned |= mentioned
        for key in mentioned:
            self._usage.mentions.together.setdefault(key, set()).update(mentioned)

    def note_absent(self, relation: Relation, names: Iterable[str]) -> None:
        """Note the tables with row level security in which a row that refuses is looked for."""
        found = {self._names.by_name[name] for name in names if name in self._names.by_name}
        known = self._usage.policies.absent.setdefault(relation.oid, set())
        known |= {one.oid for one in found if one.rls and one is not relation}

    def note_flags(self) -> None:
        """Note the values of user_metadata that are conditions by themselves: flags; and the claims
        of which only the presence is asked for.
        """
        policies = [policy for relation in self._catalog.relations for policy in relation.policies]
        texts = [text for p in policies for text in (p.visible, p.checked) if text is not None]
        trees = self._names.expanded(
            [*map(parse_trees.expression_tree, texts), *self._names.bodies.values()]
        )
        claims = [v for v in expressions.request_values(trees) if isinstance(v, Claim)]
        for path in sorted(path for claim in claims for path in claim.paths):
            is_of_user = path[0] == expressions.CHOSEN and len(path) > 1
            if is_of_user and path not in self._usage.request.claims:
                self._usage.request.claim_literals.setdefault(path, ["true"])
        for test in parse_trees.nodes(trees, "NullTest"):
            tested = expressions.value(test["arg"], self._names.lookup)
            if isinstance(tested, Claim) and tested.path:
                self._usage.request.present_claims.update(tested.paths)

    def conditions(self, view: Relation) -> Iterator[Condition]:
        """The comparisons of the columns of a view's query with constants and with now."""
        for query in queries.conditions(syntax.parse(view.definition or "") or []):
            for flag, is_wanted in self._names.flags(query):
                yield flag, "=", "true" if is_wanted else "false"
            for comparison in expressions.comparisons(query, self._names.lookup):
                column, other = comparison.left, comparison.right
                key = self._names.key_of(column, comparison)
                if key is not None and isinstance(other, Literal):
                    yield key, comparison.operator, other.text
                elif key is not None and other == NOW:
                    yield key, comparison.operator, None

    def _compared_with_caller(
        self, compared: Iterable[Comparison], relation: Relation
    ) -> set[ColumnKey]:
        """The columns of the relation itself that an expression compares with the caller's id."""
        found = set()
        for comparison in compared:
            pair = (comparison.left, comparison.right)
            for side in pair:
                if USER_ID in pair and isinstance(side, Reference):
                    key = self._names.column(side, comparison.scopes, relation)
                    if key is not None and key[0] == relation.oid:
                        found.add(key)
        return found

    def _compared_with_own_row(
        self, compared: Sequence[Comparison], relation: Relation, called: Sequence[str]
    ) -> Iterator[ColumnKey]:
        """The columns of the relation that an expression compares with a row above that it compares
        with the caller, in the same query or by a function that returns its key.
        """
        own = list(self._caller_tables(compared, relation))
        for comparison in compared:
            for left, right in comparison.both_ways:
                is_key = comparison.operator == "=" and isinstance(left, Reference)
                column = self._names.named_column(left, comparison, relation) if is_key else None
                other = self._names.named_column(right, comparison, relation)
                if column is None or other is None or column[0] != relation.oid:
                    continue
                if isinstance(right, Selected):
                    is_own = self._is_of_caller(right, other[0], called)
                else:
                    is_own = (other[0], id(comparison.scopes)) in own
                if is_own and _refers(relation, column[1], other[0]):
                    yield column

    def _caller_tables(
        self, compared: Iterable[Comparison], relation: Relation | None
    ) -> Iterator[tuple[int, int]]:
        """The tables of which a query compares the only row with the caller, with its scopes."""
        for comparison in compared:
            for left, right in comparison.both_ways:
                is_asked = right == USER_ID or isinstance(right, Claim | Header)
                if is_asked and isinstance(left, Reference):
                    key = self._names.column(left, comparison.scopes, relation)
                    names = [self._names.by_name.get(name) for name in comparison.scopes.values()]
                    if key is not None and [n.oid for n in names if n].count(key[0]) == 1:
                        yield key[0], id(comparison.scopes)

    def _is_of_caller(self, value: Selected, oid: int, called: Sequence[str]) -> bool:
        """Whether a function that is called selects a column of the caller's own row."""
        for function in self._catalog.functions:
            if function.signature in called and self._names.selected(function) == value:
                compared = expressions.comparisons(
                    self._names.bodies[function.oid], self._names.lookup
                )
                if any(table == oid for table, _ in self._caller_tables(compared, None)):
                    return True
        return False


def _has_target(relation: Relation, column: str) -> bool:
    """Whether a column refers to a table of the project."""
    return any(column in key.columns and key.target_name != USERS for key in relation.foreign_keys)


def _refers(relation: Relation, column: str, oid: int) -> bool:
    """Whether a column alone refers to a table."""
    return any(key.columns == (column,) and key.target == oid for key in relation.foreign_keys)
