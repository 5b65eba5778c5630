"""A part of an access matrix that fits on a screen, for `demo` and shortened reports."""

from collections.abc import Sequence
from itertools import product

from supabase_jobs.findings import Grid

# these show who can do what; the other actions of the packaged matrix are variants of them
_ACTIONS = ("select", "insert own", "insert forged", "update", "delete")


def overview(grid: Grid, *, only_mismatches: bool = False) -> Grid:
    """Five actions of a matrix, with one row for identities with equal outcomes.

    A matrix of other sources has its first five actions. `only_mismatches` leaves out the rows
    without a mismatch, and merges none of different kinds.
    """
    has_all = set(_ACTIONS) <= set(grid.columns)
    columns = _ACTIONS if has_all else grid.columns[: len(_ACTIONS)]
    chosen = [grid.columns.index(column) for column in columns]
    labels: list[str] = []
    rows: list[tuple[tuple[str, bool], ...]] = []
    alike: list[list[str]] = []
    for number, (label, cells) in enumerate(zip(grid.rows, grid.cells, strict=True)):
        row = tuple((cells[column], (number, column) in grid.mismatches) for column in chosen)
        if only_mismatches and not any(mismatch for _, mismatch in row):
            continue
        if row in rows and not only_mismatches:
            alike[rows.index(row)].append(label)
            continue
        if rows and rows[-1] == row and _kind(labels[-1]) == _kind(label):
            alike[-1].append(label)
            continue
        labels.append(label)
        rows.append(row)
        alike.append([])
    places = product(range(len(rows)), range(len(columns)))
    return Grid(
        title=grid.title,
        columns=columns,
        rows=tuple(map(_merged, labels, alike)),
        cells=tuple(map(_outcomes, rows)),
        mismatches=frozenset((r, c) for r, c in places if rows[r][c][1]),
    )


def _outcomes(row: Sequence[tuple[str, bool]]) -> tuple[str, ...]:
    return tuple(outcome for outcome, _ in row)


def _kind(label: str) -> str:
    """The identity without what it looks at: `guest` of `guest, its own job`, as the file of the
    declarations names its rows.
    """
    return label.split(",")[0]


def _merged(label: str, others: Sequence[str]) -> str:
    """The label of a row that stands for others too."""
    if len(others) > 1 and {_kind(label)} == set(map(_kind, others)):
        return f"{_kind(label)}, {len(others) + 1} kinds of request"
    return f"{label} (+{len(others)})" if others else label
