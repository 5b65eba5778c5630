"""A verification as text for a terminal: matrices of 80 columns, then findings by cause."""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from rich.console import Console
from rich.table import Table
from rich.text import Text

from supabase_jobs.findings import APPLY_FIRST, Grid, Severity, Verification
from supabase_jobs.outcomes import OUTCOMES, SQLSTATE_MEANING
from supabase_jobs.report import summary
from supabase_jobs.report.wording import counted

WIDTH = 80
_MEANINGS = " · ".join(f"{outcome}: {meaning}" for outcome, meaning in OUTCOMES.items())
LEGEND = f"{_MEANINGS} · five digits: {SQLSTATE_MEANING}"

_COLOURS = {"rows": "green", "hidden": "cyan", "denied": "magenta", "violates": "yellow"}
_SEVERITIES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}
_CELL = 8
_LABEL = 26  # leaves space for six columns
_OVERVIEW_LABEL = 31  # leaves space for five
# in a report that is not whole: the listed findings of a cause, and the characters of a message
_SHOWN = 3
_LISTED = 156
_MESSAGE = 800
_NOT_APPLIED = f"""\
none of the tables and functions of the migrations exists
hint: {APPLY_FIRST}
If supabase-jobs status shows them as applied, run the fixes that verify --all
prints, in their order.
"""


def verification(result: Verification, *, colour: bool = False, whole: bool = True) -> str:
    """Matrices, findings by cause, the number of passed cases of each area, and the verdict.

    A mismatching cell ends in `!`. If not `whole`, each cause shows only some of the findings that
    it explains, a result with findings shows no matrix, and one of a database without the
    migrations shows only that.
    """
    grids = result.grids if whole or not result.findings else ()
    console = _console(colour)
    for grid in grids:
        for part in _parts(grid):
            console.print(_table(part))
            console.print()
    if grids:
        console.print(LEGEND, style="dim")
        console.print()
    matrices = "".join(line.rstrip() + "\n" for line in _printed(console).splitlines())
    console = _console(colour)
    _print_findings(console, result, whole)
    return matrices + _printed(console)


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
    table.add_column(grid.title, width=_OVERVIEW_LABEL)
    for column in columns:
        table.add_column(column, width=_CELL, overflow="fold", vertical="bottom")
    for (label, row), more in zip(rows, alike, strict=True):
        shown = [
            Text(f"{o[: _CELL - 1]}!" if bad else o, style="bold red" if bad else "green")
            for o, bad in row
        ]
        table.add_row(_merged(label, more), *shown)
    console = _console(colour)
    console.print(table)
    return "".join(line.rstrip() + "\n" for line in _printed(console).splitlines())


def _merged(label: str, more: int) -> str:
    """The label of a row that stands for `more` others of the same kind."""
    if more > 1:
        return f"{label.split(',')[0]}, {more + 1} kinds of request"
    return f"{label} (+1)" if more else label


def overview_legend(*, colour: bool = False) -> str:
    """The meaning of the outcomes and of the merged rows of an overview."""
    console = _console(colour)
    console.print(f"{_MEANINGS} · (+1): and another one with the same outcomes", style="dim")
    return "".join(line.rstrip() + "\n" for line in _printed(console).splitlines())


def _console(colour: bool) -> Console:
    return Console(
        file=io.StringIO(), width=WIDTH, force_terminal=colour, no_color=not colour, highlight=False
    )


def _printed(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)  # noqa: S101  created above
    return file.getvalue()


def _print_findings(console: Console, result: Verification, whole: bool) -> None:
    """The findings by cause, the summary, and the verdict."""
    groups = summary.groups(result.findings)
    if result.not_applied and not whole:
        error = Text.assemble(("error: ", f"bold {_SEVERITIES[Severity.ERROR]}"), _NOT_APPLIED)
        console.print(error, soft_wrap=True)
    else:
        printed: set[str] = set()
        for group in groups:
            _print_group(console, group, whole, printed)
    if groups:
        console.print(
            "To see the SQL of a finding: supabase-jobs verify --explain ID (ids: --json).",
            style="dim",
        )
        if not whole:
            console.print(
                "To see every finding and the access matrix: supabase-jobs verify --all.",
                style="dim",
            )
        console.print()
    console.print(Text(f"passed: {', '.join(map(_area, summary.areas(result)))}"), soft_wrap=True)
    errors = sum(f.severity is Severity.ERROR for f in result.findings)
    others = len(result.findings) - errors
    verdict = "ok" if result.ok else "FAILED"
    if unchecked := summary.unchecked(result):
        verdict += f" ({unchecked})"
    console.print(
        Text(
            f"{verdict}: {counted(result.checks, 'check')}, {counted(errors, 'error')},"
            f" {counted(others, 'other finding')},"
            f" {result.milliseconds / 1000:.1f} s",
            style="bold green" if result.ok else "bold red",
        ),
        soft_wrap=True,
    )


def _parts(grid: Grid) -> Iterator[Grid]:
    """Split a grid that is too wide by columns."""
    label = min(max(len(row) for row in grid.rows), _LABEL)
    fit = max(1, (WIDTH - label) // (_CELL + 1))
    for start in range(0, len(grid.columns), fit):
        end = start + fit
        yield Grid(
            grid.title,
            grid.columns[start:end],
            grid.rows,
            tuple(cells[start:end] for cells in grid.cells),
            frozenset((r, c - start) for r, c in grid.mismatches if start <= c < end),
        )


def _table(grid: Grid) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(grid.title, overflow="fold")
    for column in grid.columns:
        table.add_column(column, width=_CELL, overflow="fold", vertical="bottom")
    for r, (label, cells) in enumerate(zip(grid.rows, grid.cells, strict=True)):
        table.add_row(
            label, *(_cell(cell, (r, c) in grid.mismatches) for c, cell in enumerate(cells))
        )
    return table


def _cell(outcome: str, mismatch: bool) -> Text:
    return Text(
        f"{outcome[: _CELL - 1]}!" if mismatch else outcome,
        style="bold red" if mismatch else _COLOURS.get(outcome, ""),
    )


def _print_group(console: Console, group: summary.Group, whole: bool, printed: set[str]) -> None:
    """A cause or several findings of one object, what the cause explains, and the fix on lines of
    its own.
    """
    first = group.first
    text = Text()
    text.append(f"{group.severity}: ", style=f"bold {_SEVERITIES[group.severity]}")
    if group.has_cause or not group.rest:
        text.append(f"{_shown(f'{first.object}: {first.message}', whole, _MESSAGE)}\n")
    else:
        text.append(f"{summary.line(first.object)}, {len(group.findings)} times:\n")
    if group.has_cause:
        areas = Counter(finding.area for finding in group.rest)
        counts = ", ".join(f"{number} {area}" for area, number in areas.items())
        text.append(f"  explains {counted(len(group.rest), 'finding')} ({counts}):\n")
    listed = group.rest if group.has_cause or not group.rest else group.findings
    shown = listed if whole else listed[:_SHOWN]
    text.append("".join(_indented(_shown(finding.message, whole, _LISTED)) for finding in shown))
    if len(listed) > len(shown):
        text.append(f"  … {len(listed) - len(shown)} more\n", style="dim")
    text.rstrip()
    console.print(_without_trailing_space(console, text), soft_wrap=True)
    _print_entries(
        console, [entry for finding in group.findings for entry in finding.accept], printed
    )
    if group.fixes:
        console.print("fix:", style="dim")
    for fix in group.fixes:
        # psql has to accept it: neither wrapped nor indented, and with its tabs
        console.file.write(f"{summary.sql(fix)}\n")
    console.print()


def _print_entries(console: Console, entries: Iterable[str], printed: set[str]) -> None:
    """Print entries of supabase-jobs.toml without wrapping, each once in a report, so that all can
    be pasted.
    """
    if new := dict.fromkeys(entry for entry in entries if entry not in printed):
        printed |= new.keys()
        text = Text(
            "  if it is intended, add to supabase-jobs.toml with the reason:\n", style="dim"
        )
        text.append(
            "".join(
                f"    {line}\n" for entry in new for line in summary.visible(entry).splitlines()
            )
        )
        console.print(text, end="", soft_wrap=True)


def _without_trailing_space(console: Console, text: Text) -> Text:
    lines = text.wrap(console, WIDTH)
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


def _indented(line: str) -> str:
    wrapped = wrap(
        line, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    )
    return "".join(f"{part}\n" for part in wrapped)


def _shown(text: str, whole: bool, limit: int) -> str:
    line = summary.line(text)
    return line if whole or len(line) <= limit else f"{line[: limit - 1]}…"


def _area(area: summary.Area) -> str:
    return f"{area.name} {area.passed}/{area.cases}" + ("" if area.checked else " NOT CHECKED")
