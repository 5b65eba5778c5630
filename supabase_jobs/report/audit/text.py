"""An audit as text for a terminal: the matrix in at most 100 columns, the leaks, the coverage."""

import io
from collections.abc import Sequence
from functools import partial

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from supabase_jobs.findings import Audit, AuditFinding, NotTested, Severity
from supabase_jobs.report import summary
from supabase_jobs.report.audit.matrix import MEANINGS, WORDS, coverage, grouped, rows
from supabase_jobs.report.wording import counted

WIDTH = 100
LEGEND = " · ".join([*(f"{word}: {meaning}" for word, meaning in MEANINGS.items()), "!: a leak"])
_ACCEPT = (
    "An object that was not tested makes the audit fail. Follow the help above, or accept it with"
    " a reason under"
    " [excluded] in supabase/audit.toml."
)
_COLOURS = {"none": "dim", "own": "green", "group": "cyan", "users": "yellow", "all": "magenta"}
_SEVERITIES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}


def audit(result: Audit, *, colour: bool = False) -> str:
    """The matrix, the findings with their fixes, what was not tested, and the verdict."""
    show = partial(_printed, colour)
    parts = [show(_matrix(result), Text(LEGEND, style="dim"), "")] if result.summaries else []
    for group in grouped(result.findings):
        parts.append(show(_findings(group)))
        if fix := group[0].fix:
            # psql has to accept it: neither wrapped nor indented
            parts.append(show(Text("fix:", style="dim")) + f"{summary.sql(fix)}\n")
        parts.append("\n")
    for item in result.not_tested:
        # the lines for audit.toml can be pasted, too
        parts.append(show(_not_tested(item)) + f"{summary.sql(item.help)}\n\n")
    if set(result.unchecked) - {"database"}:  # which [excluded] does not accept
        parts.append(show(Text(_ACCEPT, style="dim"), ""))
    return "".join([*parts, show(_verdict(result))])


def _printed(colour: bool, *texts: RenderableType) -> str:
    """Texts in at most WIDTH columns, without spaces at the ends of lines."""
    file = io.StringIO()
    console = Console(
        file=file, width=WIDTH, force_terminal=colour, no_color=not colour, highlight=False
    )
    for text in texts:
        console.print(text)
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def _matrix(result: Audit) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("table", overflow="fold")
    for heading in WORDS.values():
        table.add_column(heading, width=8)
    for row in rows(result):
        cells = [_cell(row.access.get(action, ""), action in row.leaks) for action in WORDS]
        table.add_row(summary.line(row.object), *cells)
    return table


def _cell(access: str, leak: bool) -> Text:
    return Text(
        f"{access} !" if leak else access, style="bold red" if leak else _COLOURS.get(access, "")
    )


def _findings(group: Sequence[AuditFinding]) -> Text:
    """Findings with one cause and one fix."""
    first = group[0]
    text = Text()
    text.append(f"{first.severity}: ", style=f"bold {_SEVERITIES[first.severity]}")
    text.append(f"{summary.line(f'{first.object}: {first.message}')}\n")
    text.append("".join(f"  and: {summary.line(finding.message)}\n" for finding in group[1:]))
    text.append(f"  cause: {summary.line(first.cause)}", style="dim")
    return text


def _not_tested(item: NotTested) -> Text:
    text = Text()
    text.append("not tested: ", style="bold yellow")
    text.append(summary.line(f"{item.object}: {item.why}"))
    return text


def _verdict(result: Audit) -> Text:
    errors = sum(f.severity is Severity.ERROR for f in result.findings)
    verdict = "ok" if result.ok else "FAILED"
    untested = (
        f", {counted(len(set(result.unchecked)), 'object')} not tested" if result.unchecked else ""
    )
    return Text(
        f"{verdict}: {counted(errors, 'error')},"
        f" {counted(len(result.findings) - errors, 'other finding')}{untested}; {coverage(result)},"
        f" {result.milliseconds / 1000:.1f} s",
        style="bold green" if result.ok else "bold red",
    )
