"""Statements that a batch repeats, prepared once: to analyse one takes longer than to run it.

They are prepared with SQL, at the beginning of the batch, and deallocated at its end, because a
pooler may give the server's session to another client.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

from supabase_jobs.database.batch import Statement

# preparing takes as long as running three times
_LEAST = 4


@dataclass(frozen=True, kw_only=True)
class Repeatable(Statement):
    """A statement that batches repeat: all of a `name` have the same text, and texts as values."""

    name: str


def repeated(groups: Iterable[Sequence[Statement]]) -> dict[str, Repeatable]:
    """The statements that these groups repeat, by their names."""
    found = [one for one in chain.from_iterable(groups) if isinstance(one, Repeatable)]
    times = Counter(one.name for one in found)
    return {one.name: one for one in found if times[one.name] >= _LEAST}


def prepare(statements: Iterable[Repeatable]) -> list[Statement]:
    """The statements that prepare these."""
    return [
        Statement(f"prepare {one.name}{_types(one)} as {_numbered(one.sql)}") for one in statements
    ]


def deallocate(statements: Iterable[Repeatable]) -> list[Statement]:
    """The statements that forget these, which a rollback keeps."""
    return [Statement(f"deallocate {one.name}") for one in statements]


def executed(group: Sequence[Statement], prepared: Mapping[str, Repeatable]) -> list[Statement]:
    """A group that runs the prepared ones."""
    return [
        _execute(one) if isinstance(one, Repeatable) and one.name in prepared else one
        for one in group
    ]


def _execute(statement: Repeatable) -> Statement:
    if not statement.params:
        return Statement(f"execute {statement.name}")
    marks = ", ".join(["%s"] * len(statement.params))
    return Statement(f"execute {statement.name} ({marks})", statement.params)


def _types(statement: Statement) -> str:
    params = statement.params or ()
    return f" ({', '.join(['text'] * len(params))})" if params else ""


def _numbered(text: str) -> str:
    first, *others = text.split("%s")
    numbers = count(1)
    return "".join([first, *(f"${next(numbers)}{other}" for other in others)])
