"""A verification as Markdown, for a job summary or a pull request."""

from collections.abc import Sequence

from supabase_jobs.findings import Grid, Verification
from supabase_jobs.report import summary
from supabase_jobs.report.markup import block, code, html, plain, table
from supabase_jobs.report.wording import counted

# GitHub shows no job summary above 1 MiB; the rest is for other steps
LIMIT_BYTES = 900_000


def verification(result: Verification) -> str:
    """The verdict, the areas, the findings, and each access matrix in a collapsible table."""
    verdict = "passed" if result.ok else "**failed**"
    if unchecked := summary.unchecked(result):
        verdict += f" (**{unchecked}**)"
    head = [
        f"## supabase-jobs verify: {verdict}\n",
        f"{counted(result.checks, 'check')}, {counted(len(result.findings), 'finding')}."
        + (f" {plain(result.database)}" if result.database else "")
        + "\n",
        table(
            ("area", "cases", "failed", "other findings", "verdict"),
            [
                (plain(a.name), str(a.cases), str(a.failed), str(a.others), a.verdict)
                for a in summary.areas(result)
            ],
        ),
    ]
    matrices = [_folded(grid) for grid in result.grids]
    room = LIMIT_BYTES - sum(len(part.encode()) for part in (*head, *matrices))
    return "\n".join([*head, *_findings(summary.groups(result.findings), room), *matrices])


def matrix(grid: Grid) -> str:
    """One access matrix: a row for each identity, a column for each action; a mismatching cell is
    bold.
    """
    rows = []
    for r, (label, cells) in enumerate(zip(grid.rows, grid.cells, strict=True)):
        marked = (
            f"**{plain(cell)}**" if (r, c) in grid.mismatches else plain(cell)
            for c, cell in enumerate(cells)
        )
        rows.append((plain(label), *marked))
    return table((plain(grid.title), *map(plain, grid.columns)), rows)


def _folded(grid: Grid) -> str:
    number = len(grid.mismatches)
    mismatches = (
        f": {counted(number, 'cell')} {'is' if number == 1 else 'are'} not as declared"
        if number
        else ""
    )
    open_attribute = " open" if grid.mismatches else ""
    title = html(grid.title + mismatches)
    # Markdown inside HTML needs an empty line before it
    return (
        f"<details{open_attribute}><summary>Access to"
        f" {title}</summary>\n\n{matrix(grid)}\n</details>\n"
    )


def _findings(groups: Sequence[summary.Group], room: int) -> list[str]:
    """The causes in at most `room` bytes, and a line with the number of omitted findings."""
    parts, omitted = [], 0
    for group in groups:
        part = _group(group)
        room -= len(part.encode()) + 1
        if room < 0:
            omitted += len(group.findings)
        else:
            parts.append(part)
    return (
        parts
        if not omitted
        else [
            *parts,
            f"{omitted} more {'finding does' if omitted == 1 else 'findings do'} not fit into a"
            " job summary.\n",
        ]
    )


def _group(group: summary.Group) -> str:
    """A cause, a collapsible list of what it explains, and the fix in a code block."""
    first = group.first
    is_single = group.has_cause or not group.rest
    title = plain(first.message) if is_single else f"{len(group.findings)} findings"
    lines = [f"**{group.severity}** {code(first.object)}: {title}\n"]
    listed = group.rest if is_single else group.findings
    if listed:
        says = (
            f"explains {counted(len(listed), 'finding')}"
            if group.has_cause
            else f"{len(listed)} findings"
        )
        items = "".join(f"- {plain(finding.message)}\n" for finding in listed)
        lines.append(f"<details><summary>{says}</summary>\n\n{items}\n</details>\n")
    if group.fixes:
        lines.append(block("\n".join(group.fixes)))
    return "\n".join(lines)
