"""A part of an access matrix that fits on a screen, for `demo`."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from supabase_jobs.findings import Grid
from supabase_jobs.outcomes import OUTCOMES
from supabase_jobs.report.terminal import Page

WIDTH = 80
_CELL = 8
_LABEL = 31  # leaves space for five columns


def overview(
    grid: Grid, columns: Sequence[str], *, colour: bool = False, only_mismatches: bool = False
) -> str:
    """Some columns of a matrix, with one row for consecutive identities of a kind with equal
    outcomes.

    A cell is green if it is as expected; a mismatch is red and ends in `!`. `only_mismatches`
    leaves out other rows.
    """
    chosen = [grid.columns.index(column) for column in columns]
    rows: list[tuple[str, tuple[tuple[str, bool], ...]]] = []
    alike: list[int] = []
    for number, (label, cells) in enumerate(zip(grid.rows, grid.cells, strict=True)):
        row = tuple((cells[column], (number, column) in grid.mismatches) for column in chosen)
        if only_mismatches and not any(mismatch for _, mismatch in row):
            continue
        if rows and rows[-1][1] == row and rows[-1][0].split(",")[0] == label.split(",")[0]:
            alike[-1] += 1
            continue
        rows.append((label, row))
        alike.append(0)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(grid.title, width=_LABEL)
    for column in columns:
        table.add_column(column, width=_CELL, overflow="fold", vertical="bottom")
    for (label, row), more in zip(rows, alike, strict=True):
        table.add_row(_merged(label, more), *(_cell(outcome, bad) for outcome, bad in row))
    page = Page(WIDTH, colour=colour)
    page.table(table)
    return page.text()


def _cell(outcome: str, is_mismatch: bool) -> Text:
    if is_mismatch:
        return Text(f"{outcome[: _CELL - 1]}!", style="bold red")
    return Text(outcome, style="green")


def _merged(label: str, more: int) -> str:
    """The label of a row that stands for `more` others of the same kind."""
    if more > 1:
        return f"{label.split(',')[0]}, {more + 1} kinds of request"
    return f"{label} (+1)" if more else label


def legend(*, colour: bool = False) -> str:
    """The meaning of the outcomes and of the merged rows of an overview."""
    meanings = " · ".join(f"{outcome}: {meaning}" for outcome, meaning in OUTCOMES.items())
    page = Page(WIDTH, colour=colour)
    page.paragraph(f"{meanings} · (+1): and another one with the same outcomes", "dim", width=WIDTH)
    return page.text()
