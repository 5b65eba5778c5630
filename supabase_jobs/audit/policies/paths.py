"""Paths by which policies find their caller: rows of tables, joined to one another and to the row
of the policy, with the values that each must have.

Each alternative of a condition is a path of its own, so that somebody can be found, or made, who
passes by it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

# of a test: the time of the request is inside of a range
CONTAINS_NOW = "@>"


@dataclass(frozen=True, order=True)
class Cell:
    """A column of a row of a path: row 0 is that of the policy."""

    row: int
    column: str


@dataclass(frozen=True, order=True)
class Test:
    """A condition about one column: an operator with a constant, with the time of the request
    (`value` None), or one of IS_NULL, IS_NOT_NULL and CONTAINS_NOW. `others` are the other
    constants of a list.
    """

    cell: Cell
    operator: str
    value: str | None = None
    others: tuple[str, ...] = ()


# a step in a claim: a key, EACH element of an array, or the value of a column
ClaimStep = str | Cell


@dataclass(frozen=True)
class Path:
    """The rows of `tables`, the first of which is that of the policy, and what must hold of them:
    columns that are `joined`, those that hold the `caller`, or an array with the caller (`among`),
    those with the value of a claim, and tests. `wanted` are claims with a constant.

    `reads`: a policy shows rows by the path.
    """

    tables: tuple[str, ...]
    joined: frozenset[tuple[Cell, Cell]] = frozenset()
    caller: frozenset[Cell] = frozenset()
    among: frozenset[Cell] = frozenset()
    claims: frozenset[tuple[tuple[ClaimStep, ...], Cell]] = frozenset()
    wanted: frozenset[tuple[tuple[ClaimStep, ...], str]] = frozenset()
    tests: frozenset[Test] = frozenset()
    reads: bool = False

    def columns(self, row: int) -> set[str]:
        """The columns of a row that the path names."""
        joined = chain.from_iterable(self.joined)
        claimed = chain.from_iterable((*steps, cell) for steps, cell in self.claims)
        tested = (test.cell for test in self.tests)
        cells = (*joined, *self.caller, *self.among, *tested, *claimed)
        return {cell.column for cell in cells if isinstance(cell, Cell) and cell.row == row}

    @property
    def of_rows(self) -> frozenset[Test]:
        """The tests of the rows besides that of the policy."""
        return frozenset(test for test in self.tests if test.cell.row)

    @property
    def links(self) -> frozenset[tuple[Cell, Cell]]:
        """The columns that connect the row of the policy, which is first, with other rows."""
        return frozenset((a, b) for a, b in self.joined if not a.row)

    @property
    def skeleton(self) -> tuple[Any, ...]:
        """The part of a path that does not depend on the policy's table and on its tests: who
        reaches something by it has the same rows.
        """
        joined = frozenset((a, b) for a, b in self.joined if a.row)
        caller = frozenset(cell for cell in self.caller if cell.row)
        among = frozenset(cell for cell in self.among if cell.row)
        claims = frozenset(self.claims)
        linked = frozenset(b for _, b in self.links)
        return self.tables[1:], joined, caller, among, claims, self.wanted, linked


def in_order(path: Path) -> Path:
    """The same path with its rows in the order of the names of their tables."""
    rows = sorted(range(1, len(path.tables)), key=lambda row: (path.tables[row], row))
    places = {0: 0, **{row: number for number, row in enumerate(rows, 1)}}

    def at(cell: Cell) -> Cell:
        return Cell(places[cell.row], cell.column)

    def within(steps: Sequence[ClaimStep]) -> tuple[ClaimStep, ...]:
        return tuple(at(step) if isinstance(step, Cell) else step for step in steps)

    pairs = ((at(a), at(b)) for a, b in path.joined)
    return replace(
        path,
        tables=(path.tables[0], *(path.tables[row] for row in rows)),
        joined=frozenset((min(pair), max(pair)) for pair in pairs),
        caller=frozenset(map(at, path.caller)),
        among=frozenset(map(at, path.among)),
        claims=frozenset((within(steps), at(cell)) for steps, cell in path.claims),
        wanted=frozenset((within(steps), text) for steps, text in path.wanted),
        tests=frozenset(replace(test, cell=at(test.cell)) for test in path.tests),
    )
