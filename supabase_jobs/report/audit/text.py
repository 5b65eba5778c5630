"""An audit as text for a terminal: the matrix in at most 100 columns, the leaks, the coverage."""

import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

from supabase_jobs.findings import Audit, AuditFinding, Severity
from supabase_jobs.report import summary

WIDTH = 100
LEGEND = (
    "own: one's own rows · group: rows of one's group · users: every row, when signed in · all: every row,"
    " without signing in · !: a leak"
)
_ACTIONS = {"select": "read", "insert": "insert", "update": "update", "delete": "delete"}
_COLOURS = {"none": "dim", "own": "green", "group": "cyan", "users": "yellow", "all": "magenta"}
_SEVERITIES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}


def audit(result: Audit, *, colour: bool = False) -> str:
    """The matrix, the findings with their fixes, what was not tested, and the verdict."""
    console = Console(file=io.StringIO(), width=WIDTH, force_terminal=colour, no_color=not colour, highlight=False)
    if result.summaries:
        console.print(_matrix(result))
        console.print(LEGEND, style="dim")
        console.print()
    for finding in result.findings:
        console.print(_finding(finding))
    for item in result.not_tested:
        text = Text("not tested: ", style="bold yellow")
        text.append(f"{summary.line(item.object)}: {summary.line(item.why)}\n", style="default")
        text.append("".join(f"  {line}\n" for line in summary.visible(item.help).splitlines()), style="dim")
        console.print(text)
    console.print(_verdict(result))
    file = console.file
    assert isinstance(file, io.StringIO)  # noqa: S101  created above
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def _matrix(result: Audit) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("table", overflow="fold")
    for heading in _ACTIONS.values():
        table.add_column(heading, width=8)
    for item in result.summaries:
        cells = [_cell(item.access.get(action, ""), action in item.leaks) for action in _ACTIONS]
        table.add_row(summary.line(item.object), *cells)
    return table


def _cell(access: str, leak: bool) -> Text:
    return Text(f"{access} !" if leak else access, style="bold red" if leak else _COLOURS.get(access, ""))


def _finding(finding: AuditFinding) -> Text:
    text = Text()
    text.append(f"{finding.severity}: ", style=f"bold {_SEVERITIES[finding.severity]}")
    text.append(f"{summary.line(f'{finding.object}: {finding.message}')}\n")
    text.append(f"  cause: {summary.line(finding.cause)}\n", style="dim")
    text.append(f"  fix: {summary.visible(finding.fix)}\n", style="dim")
    return text


def _verdict(result: Audit) -> Text:
    errors = sum(f.severity is Severity.ERROR for f in result.findings)
    verdict = "ok" if result.ok else "FAILED"
    return Text(
        f"{verdict}: {errors} errors, {len(result.findings) - errors} other findings; rows for {result.planted} of"
        f" {result.tables} tables, {len(result.cells)} cells, {result.milliseconds / 1000:.1f} s",
        style="bold green" if result.ok else "bold red",
    )
