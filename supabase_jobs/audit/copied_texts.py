"""Texts of a copied database that reports may print: definitions and generated values.

Code of the project computes other values from the rows that were copied: `upper(code)`, a part of
it, a sum.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import ROW_DIGITS, Row
from supabase_jobs.audit.rows.values import INTEGERS, NUMBERS, TEXTS, TIMES, time_of
from supabase_jobs.database.hidden_values import words

# behind the token: the number of a row, a user or a folder
_NUMBERED = rf"(?:\d{{{ROW_DIGITS}}}|[uf]\d{{3}}|root)?"
_NUMBERS = {*INTEGERS, *NUMBERS}
# the server prints these as they were given, or they can be compared
_REPLACEABLE = {*_NUMBERS, *TEXTS, *TIMES, "json", "jsonb"}


@dataclass(frozen=True)
class CopiedTexts:
    """The words of a copy's definitions, and the private texts: of its rows and settings."""

    definitions: frozenset[str]
    private: frozenset[str]


class Printable:
    """Tells the values that reports may print from those that were computed from copied rows."""

    def __init__(self, copied: CopiedTexts, world: World) -> None:
        self._transaction = (world.now, world.began)
        users = world.users
        self._rows = [row for user in users for row in user.all_rows]
        chosen = {text for row in self._rows for text in row.given.values()}
        given = chosen - copied.private
        self._numbers = {_number(text) for text in given} - {None}
        self._times = {time_of(text) for text in given} - {None}
        known = words(" ".join([*given, *(f"{u.id} {u.email} {u.label}" for u in users)]))
        self._words = copied.definitions | known
        tokens = "|".join((world.a.token, world.b.token, world.newcomer.name))
        self._token = re.compile(rf"(?:{tokens}){_NUMBERED}")

    def includes(self, text: str) -> bool:
        """Whether each word of a text is one of the definitions or a generated one."""
        unknown = words(text) - self._words
        return all(self._token.fullmatch(word) for word in unknown)

    def mark(self) -> frozenset[str]:
        """Mark the columns of rows whose values no report may print; returns these values."""
        found = set()
        for row in self._rows:
            row.computed = frozenset(self._computed(row))
            found |= {value for name in row.computed if (value := row.values[name])}
        return frozenset(found)

    def _computed(self, row: Row) -> Iterator[str]:
        referring = {name for key in row.relation.foreign_keys for name in key.columns}
        for name, value in row.values.items():
            is_computed = name not in referring and name not in row.drawn
            if value and is_computed and not self._is_public(row, name, value):
                yield name

    def _is_public(self, row: Row, name: str, value: str) -> bool:
        base = row.relation.by_name[name].base
        if self.includes(value) or (name in row.given and base not in _REPLACEABLE):
            return True
        if base in _NUMBERS:
            return _number(value) in self._numbers
        if base in TIMES:
            return self._is_generated(time_of(value))
        # nothing can be computed that is a UUID; those of rows are private themselves
        return base == "uuid"

    def _is_generated(self, moment: datetime | None) -> bool:
        """Whether a time is a chosen one, or whole minutes away from that of the transaction."""
        if moment is None or moment in self._times:
            return moment is not None
        return any(not (moment - time) % timedelta(minutes=1) for time in self._transaction)


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
