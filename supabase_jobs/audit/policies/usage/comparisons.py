"""Comparisons of columns: with constants, with the caller and the request, and with each other."""

from collections.abc import Iterable

from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.policies import expressions
from supabase_jobs.audit.policies.expressions import (
    USER_ID,
    Claim,
    Comparison,
    Header,
    Literal,
    Operation,
    Reference,
    Selected,
    Value,
)
from supabase_jobs.audit.policies.usage.names import Names
from supabase_jobs.audit.policies.uses import ColumnKey, Usage, extend


class Comparisons:
    """Notes what comparisons reveal about columns, claims and headers."""

    def __init__(self, names: Names, usage: Usage) -> None:
        self._names, self._usage, self._catalog = names, usage, names.catalog

    def note(self, compared: Iterable[Comparison], relation: Relation | None) -> None:
        """Note what comparisons reveal, those of a policy with its relation."""
        for comparison in compared:
            self._note_order(comparison, relation)
            if comparison.operator == "=":
                sides = (comparison.left, comparison.right)
                one, other = (
                    self._names.named_column(side, comparison, relation) for side in sides
                )
                self.note_equated(one, other)
            for left, right in comparison.both_ways:
                self._note_pair(comparison, left, right, relation)

    def _note_order(self, comparison: Comparison, relation: Relation | None) -> None:
        """Note a column with an enum of which more than a label is enough."""
        sides = ((comparison.left, (">", ">=")), (comparison.right, ("<", "<=")))
        for side, operators in sides:
            if isinstance(side, Reference) and comparison.operator in operators:
                key = self._names.column(side, comparison.scopes, relation)
                if key is not None and self._names.is_enum(key):
                    self._usage.constants.ascending.add(key)

    def note_equated(self, one: ColumnKey | None, other: ColumnKey | None) -> None:
        """Note that two columns have the same meaning."""
        if one is not None and other is not None and one != other:
            self._usage.equated.setdefault(one, set()).add(other)
            self._usage.equated.setdefault(other, set()).add(one)

    def _note_pair(
        self, comparison: Comparison, left: Value, right: Value, relation: Relation | None
    ) -> None:
        """Note what a comparison reveals about its left side."""
        found = self._usage
        if isinstance(left, Reference):
            key = self._names.column(left, comparison.scopes, relation)
            if key is not None:
                self._note_column(key, comparison.operator, right)
                if isinstance(right, Literal) and right.text in found.constants.selected.get(
                    key, ()
                ):
                    found.constants.selected[key].remove(right.text)
        elif isinstance(left, Selected) and isinstance(right, Literal):
            column = Reference(left.table, left.column)
            key = self._names.column(column, {}, None)
            if key is not None:
                if right.text not in found.constants.literals.get(key, ()):
                    found.constants.selected.setdefault(key, []).append(right.text)
                self._note_column(key, comparison.operator, right)
        elif isinstance(left, Claim) and left.path and isinstance(right, Literal):
            self._note_preferred(left)
            for path in left.paths:
                extend(found.request.claim_literals.setdefault(path, []), [right.text])
        elif isinstance(left, Header) and left.name and isinstance(right, Literal):
            extend(found.request.header_literals.setdefault(left.name, []), [right.text])
        elif isinstance(left, Operation) and isinstance(right, Literal):
            extend(found.request.operations, [right.text])

    def _note_column(self, key: ColumnKey, operator: str, other: Value) -> None:
        """Note with what a column is compared."""
        found = self._usage
        if operator == expressions.BOTH_NULL:
            if not isinstance(other, Reference):
                found.mentions.nulls.add(key)
                found.request.without_value.add(key)
        elif other == USER_ID:
            found.persons.users.add(key)
            found.persons.compared.add(key)
        elif isinstance(other, Claim) and other.path:
            self._note_preferred(other)
            for path in other.paths:
                found.request.claims.setdefault(path, set()).add(key)
        elif isinstance(other, Header) and other.name:
            found.request.headers.setdefault(other.name, set()).add(key)
            if other.hashing:
                found.request.hashing[key] = other.hashing
        elif operator == expressions.IS_NULL:
            found.mentions.nulls.add(key)
        elif operator == expressions.IS_NOT_NULL:
            found.mentions.presences.add(key)
        elif isinstance(other, Literal):
            known = found.constants.literals.setdefault(key, [])
            if operator in ("=", "<>") or self._names.is_enum(key):
                extend(known, [other.text])
            if operator == "=":
                extend(found.constants.equal.setdefault(key, []), [other.text])

    def _note_preferred(self, claim: Claim) -> None:
        """Note in which order COALESCE takes the values of a claim."""
        for number, path in enumerate(claim.otherwise, 1):
            self._usage.request.preferred.setdefault(path, set()).update(claim.paths[:number])
