"""A verification as text for a terminal: matrices that fit 80 columns, then the findings."""

import io
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from supabase_jobs.findings import Finding, Grid, Severity, Verification
from supabase_jobs.outcomes import OUTCOMES, SQLSTATE_MEANING
from supabase_jobs.report import summary

WIDTH = 80
LEGEND = " · ".join(f"{outcome}: {meaning}" for outcome, meaning in OUTCOMES.items())
LEGEND += f" · five digits: {SQLSTATE_MEANING}"

_COLOURS = {"rows": "green", "hidden": "cyan", "denied": "magenta", "violates": "yellow"}
_SEVERITIES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}
_CELL = 8
_LABEL = 26  # leaves space for six columns


def verification(result: Verification, *, colour: bool = False) -> str:
    """Matrices, findings, a line for each area, and the verdict; a mismatching cell ends in `!`."""
    console = Console(file=io.StringIO(), width=WIDTH, force_terminal=colour, no_color=not colour, highlight=False)
    for grid in result.grids:
        for part in _parts(grid):
            console.print(_table(part))
            console.print()
    if result.grids:
        console.print(LEGEND, style="dim")
        console.print()
    printed: set[str] = set()
    for group in summary.grouped(result.findings):
        console.print(_findings(group), end="")
        _print_entries(console, [entry for finding in group for entry in finding.accept], printed)
        console.print()
    if result.findings:
        console.print("To see the SQL of a finding: supabase-jobs verify --explain ID (ids: --json).", style="dim")
        console.print()
    for area in summary.areas(result):
        console.print(_area(area))
    errors = sum(f.severity is Severity.ERROR for f in result.findings)
    others = len(result.findings) - errors
    verdict = "ok" if result.ok else "FAILED"
    if unchecked := summary.unchecked(result):
        verdict += f" ({unchecked})"
    console.print(
        Text(
            f"{verdict}: {result.checks} checks, {errors} errors, {others} other findings,"
            f" {result.milliseconds / 1000:.1f} s",
            style="bold green" if result.ok else "bold red",
        )
    )
    file = console.file
    assert isinstance(file, io.StringIO)  # noqa: S101  created above
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


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
        table.add_row(label, *(_cell(cell, (r, c) in grid.mismatches) for c, cell in enumerate(cells)))
    return table


def _cell(outcome: str, mismatch: bool) -> Text:
    return Text(
        f"{outcome[: _CELL - 1]}!" if mismatch else outcome,
        style="bold red" if mismatch else _COLOURS.get(outcome, ""),
    )


def _findings(group: list[Finding]) -> Text:
    """Findings with the same fix, which is printed once."""
    first = group[0]
    text = Text()
    text.append(f"{first.severity}: ", style=f"bold {_SEVERITIES[first.severity]}")
    if len(group) == 1:
        text.append(f"{summary.line(f'{first.object}: {first.message}')}\n")
    else:
        text.append(f"{summary.line(first.object)}, {len(group)} times:\n")
        text.append("".join(f"  {summary.line(finding.message)}\n" for finding in group))
    if first.fix:
        text.append(f"  fix: {summary.visible(first.fix)}\n", style="dim")
    return text


def _print_entries(console: Console, entries: Iterable[str], printed: set[str]) -> None:
    """Print entries of supabase-jobs.toml without wrapping, each once in a report, so that all can be pasted."""
    if new := dict.fromkeys(entry for entry in entries if entry not in printed):
        printed |= new.keys()
        text = Text("  or, if it is intended, add to supabase-jobs.toml with the reason:\n", style="dim")
        text.append("".join(f"    {line}\n" for entry in new for line in summary.visible(entry).splitlines()))
        console.print(text, end="", soft_wrap=True)


def _area(area: summary.Area) -> Text:
    parts = [f"{area.failed} failed"] if area.failed else []
    parts += [f"{area.others} other findings"] if area.others else []
    parts += [] if area.checked else ["NOT CHECKED"]
    style = "red" if area.failed else "" if area.checked else "yellow"
    return Text(f"{area.name:<10} {area.cases:>4} cases: {', '.join(parts) or 'ok'}", style=style)
