"""A verification in Markdown: for a job summary or a pull request."""

from supabase_jobs.findings import Grid, Verification


def verification(result: Verification) -> str:
    """The verdict, the findings, and each access matrix as a table."""
    verdict = "passed" if result.ok else "**failed**"
    if result.unchecked:
        verdict += f" (**not checked: {', '.join(result.unchecked)}**)"
    parts = [
        f"## supabase-jobs verify: {verdict}\n",
        f"{result.checks} checks, {len(result.findings)} findings.\n",
    ]
    if result.findings:
        parts.append(
            _table(
                ("severity", "object", "finding", "fix"),
                [(f.severity, f"`{f.object}`", f.message, f"`{f.fix}`" if f.fix else "") for f in result.findings],
            )
        )
    parts += [f"### {grid.title}\n\n{matrix(grid)}" for grid in result.grids]
    return "\n".join(parts)


def matrix(grid: Grid) -> str:
    """One access matrix: a row for each identity, a column for each action; a wrong cell is bold."""
    rows = []
    for r, (label, cells) in enumerate(zip(grid.rows, grid.cells, strict=True)):
        marked = (f"**{cell}**" if (r, c) in grid.wrong else cell for c, cell in enumerate(cells))
        rows.append((label, *marked))
    return _table((grid.title, *grid.columns), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |\n" for line in lines
    )
