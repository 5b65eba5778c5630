"""States of rows as values, and the words in which reports and baselines name them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

# `2 below archived_at is set`, as baselines have it: files that users edit
_BELOW = re.compile(r"(\d+) below (.*)", re.DOTALL)


class Holds(Enum):
    """The test of a column; the value is the words behind its name."""

    EQUAL = "="
    NULL = "is null"
    SET = "is set"
    FUTURE = "is in the future"
    PAST = "is in the past"
    ANOTHER = "of another"


@dataclass(frozen=True)
class Clause:
    """A condition that a state of a row meets: of its own column, or of one of `table`.

    Without `holds`, `name` is a remark on the row, such as "of a guest". With a `depth`, the column
    is that of a row of the same table so many levels above.
    """

    name: str
    holds: Holds | None = None
    value: str = ""
    table: str = ""
    depth: int = 0

    @property
    def is_own(self) -> bool:
        """Whether it is a condition of a column of the row itself."""
        return self.holds is not None and not self.table and not self.depth

    def __str__(self) -> str:
        if self.holds is None:
            return self.name
        words = f"{self.name} {self.holds.value}"
        return f"{words} {self.value}" if self.holds is Holds.EQUAL else words


@dataclass(frozen=True, eq=False)
class RowState:
    """The state of a row, or what else distinguishes it from the first row of its table.

    `groups` are the clauses of each table, those of the rows above first. Two states are the same
    if they are printed alike: a baseline has only the words.
    """

    groups: tuple[tuple[Clause, ...], ...]

    @classmethod
    def of(cls, *clauses: Clause) -> "RowState":
        """The state of clauses about the same table."""
        return cls((clauses,))

    @classmethod
    def remark(cls, words: str) -> "RowState":
        """A row that is distinguished by no column of a policy."""
        return cls.of(Clause(name=words))

    @classmethod
    def parse(cls, text: str) -> "RowState":
        """The state that a baseline names, such as `shows: published = true; status = paid`."""
        below = _BELOW.fullmatch(text)
        if below is not None:
            return cls.parse(below[2]).below(int(below[1]))
        return cls(tuple(_group(part) for part in text.split("; ")))

    @property
    def columns(self) -> tuple[Clause, ...]:
        """The clauses about columns."""
        return tuple(one for group in self.groups for one in group if one.holds is not None)

    @property
    def combined(self) -> int:
        """How many clauses are more than the first about their table."""
        return sum(len(group) - 1 for group in self.groups)

    def above(self, table: str) -> "RowState":
        """The same of a row below the one in this state, which is in this table."""
        return self._changed(lambda one: replace(one, table=table))

    def below(self, depth: int) -> "RowState":
        """The same of a row of the same table so many levels below the one in this state."""
        return self._changed(lambda one: replace(one, depth=depth))

    def with_own(self, own: "RowState") -> "RowState":
        """This state of a row above, and one of the row itself."""
        return RowState((*self.groups, *own.groups))

    def _changed(self, change: Callable[[Clause], Clause]) -> "RowState":
        return RowState(tuple(tuple(map(change, group)) for group in self.groups))

    def __str__(self) -> str:
        return self._printed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowState) and self._printed == other._printed

    def __hash__(self) -> int:
        return hash(self._printed)

    @cached_property
    def _printed(self) -> str:
        depth = self.groups[0][0].depth
        words = "; ".join(map(_words, self.groups))
        return f"{depth} below {words}" if depth else words


def _words(group: tuple[Clause, ...]) -> str:
    words = ", ".join(map(str, group))
    return f"{group[0].table}: {words}" if group[0].table else words


def _group(text: str) -> tuple[Clause, ...]:
    """The clauses about one table in the words of a baseline."""
    table, _, clauses = text.rpartition(": ")
    return tuple(replace(_clause(words), table=table) for words in clauses.split(", "))


def _clause(words: str) -> Clause:
    name, says, value = words.partition(" = ")
    if says:
        return Clause(name=name, holds=Holds.EQUAL, value=value)
    for holds in Holds:
        name = words.removesuffix(f" {holds.value}")
        if name != words:
            return Clause(name=name, holds=holds)
    return Clause(name=words)
