"""Secrets: the columns whose value is a right, by the functions that ask for it or mask it."""

from collections.abc import Iterable, Iterator

from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.policies import expressions, parse_trees, queries
from supabase_jobs.audit.policies.expressions import Comparison, Now, Reference, Value
from supabase_jobs.audit.policies.usage.arguments import Arguments
from supabase_jobs.audit.policies.usage.names import Names
from supabase_jobs.audit.policies.uses import ColumnKey, Usage
from supabase_jobs.audit.words import Words


class SecretColumns:
    """Notes the proofs, the masked columns and the bearers' texts of functions."""

    def __init__(self, names: Names, usage: Usage, words: Words, arguments: Arguments) -> None:
        self._names, self._usage, self._catalog = names, usage, names.catalog
        self._addresses = words.sensitive_columns
        self._compared_with_argument = arguments.compared_with_argument

    def note_proofs(self, function: Function, queries: Iterable[Iterable[Comparison]]) -> None:
        """Note the texts that a query compares with an argument, besides the key of their row: who
        reads such a column passes for the person who is to know it.
        """
        if not function.callers:
            return
        for query in queries:
            compared: dict[int, set[str]] = {}
            for comparison in query:
                if comparison.operator != "=":
                    continue
                for left, right in comparison.both_ways:
                    key = self._compared_with_argument(function, comparison, left, right)
                    if key is not None:
                        compared.setdefault(key[0], set()).add(key[1])
            for oid, names in compared.items():
                relation = self._catalog.by_oid[oid]
                self._usage.secrets.proofs |= {(oid, name) for name in _proofs(relation, names)}

    def note_bearers(self, function: Function, queries: Iterable[Iterable[Comparison]]) -> None:
        """Note the texts by which a query finds a row only until a time of that row. The text of a
        name or of a document finds its row for ever.
        """
        for query in queries:
            given: set[ColumnKey] = set()
            lasting: set[int] = set()
            for comparison in query:
                for left, right in comparison.both_ways:
                    if comparison.operator == "=":
                        key = self._compared_with_argument(function, comparison, left, right)
                        given |= {key} if key is not None else set()
                    lasting |= self._lasts(comparison, left, right)
            self._usage.secrets.bearers |= {
                key for key in given if key[0] in lasting and self._finds(key)
            }

    def _lasts(self, comparison: Comparison, column: Value, other: Value) -> set[int]:
        """The table of a column that a condition demands to be later than now."""
        is_order = isinstance(other, Now) and comparison.operator in expressions.ORDERING
        if not is_order or not isinstance(column, Reference):
            return set()
        is_less = (column is comparison.left) == (comparison.operator in expressions.LESS)
        key = None if is_less else self._names.column(column, comparison.scopes, None)
        return set() if key is None else {key[0]}

    def _finds(self, key: ColumnKey) -> bool:
        """Whether a column is a text, no address, that is unique in its table and refers to no
        other row.
        """
        relation, name = self._catalog.by_oid[key[0]], key[1]
        column = relation.by_name[name]
        is_text = column.category == "S" and column.typtype != "e"
        refers = any(name in foreign.columns for foreign in relation.foreign_keys)
        is_address = self._addresses.matches(name)
        return is_text and not refers and not is_address and (name,) in relation.unique_keys

    def note_masked(self, function: Function) -> None:
        """Note the columns that a query shows on a condition, and not by themselves; and the keys
        by which it finds their rows, which tell the same.
        """
        if not function.callers:
            return
        for select in parse_trees.nodes(self._names.bodies[function.oid], "SelectStmt"):
            scopes = parse_trees.tables_of(select)
            found = {self._names.column(one, scopes, None) for one in queries.conditional(select)}
            plain = {self._names.column(one, scopes, None) for one in queries.plain(select)}
            masked = {key for key in found - plain if key is not None}
            tables = {oid for oid, _ in masked}
            query = {"SelectStmt": select}
            for comparison in expressions.comparisons(query, self._names.lookup) if masked else ():
                for left, right in comparison.both_ways:
                    keys = [self._names.key_of(one, comparison) for one in (left, right)]
                    [at, key] = keys
                    if at is None or key is None or at[0] not in tables or key in plain:
                        continue
                    if (at[1],) in self._catalog.by_oid[at[0]].unique_keys and key[0] != at[0]:
                        masked.add(key)
            self._usage.secrets.masked |= masked

    def note_narrowed(self) -> None:
        """Note the columns that a function shows to the persons of a table that no policy of their
        own table reads, as the code of a door: the function is for fewer people than the row.
        """
        called = {one for found in self._usage.policies.policy_functions.values() for one in found}
        for function in self._catalog.functions:
            shown = (
                self._names.selected(function) if function.definer and function.callers else None
            )
            if shown is None or function.signature in called:
                continue
            key = self._names.column(Reference(shown.table, shown.column), {}, None)
            persons = {oid for oid, _ in self._usage.conditions.own.get(function.oid, ())}
            if key is not None and persons and persons.isdisjoint(self._usage.reads[key[0]]):
                self._usage.secrets.masked.add(key)


def _proofs(relation: Relation, compared: set[str]) -> Iterator[str]:
    """The texts among the columns that a query compares with arguments, besides a key of the
    table; without those that refer to another row.
    """
    keys = [set(key) for key in relation.unique_keys]
    refers = {name for key in relation.foreign_keys for name in key.columns}
    for name in sorted(compared):
        column = relation.by_name[name]
        is_text = column.category == "S" and column.typtype != "e"
        is_part = name in refers or any(name in key for key in keys)
        if is_text and not is_part and any(key <= compared for key in keys):
            yield name
