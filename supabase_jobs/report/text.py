"""A verification as text for a terminal: matrices that fit 80 columns, then the findings by cause."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from supabase_jobs.findings import Grid, Severity, Verification
from supabase_jobs.outcomes import OUTCOMES, SQLSTATE_MEANING
from supabase_jobs.report import summary

WIDTH = 80
_MEANINGS = " · ".join(f"{outcome}: {meaning}" for outcome, meaning in OUTCOMES.items())
LEGEND = f"{_MEANINGS} · five digits: {SQLSTATE_MEANING}"

# the codes of ANSI terminals
_STYLES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36",
}  # fmt: skip
_COLOURS = {"rows": "green", "hidden": "cyan", "denied": "magenta", "violates": "yellow"}
_SEVERITIES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}
_MISMATCH = "bold red"
_CELL = 8
_LABEL = 26  # leaves space for six columns
_OVERVIEW_LABEL = 31  # leaves space for five
# in a report that is not whole: the listed findings of a cause, and the characters of a message
_SHOWN = 3
_LISTED = 156
_MESSAGE = 800

_StyledRow = tuple[str, Sequence[tuple[str, str]]]  # a label; texts with their styles


def verification(result: Verification, *, colour: bool = False, whole: bool = True) -> str:
    """Matrices, findings by cause, the number of passed cases of each area, and the verdict.

    A mismatching cell ends in `!`. If not `whole`, each cause shows only some of the findings that it explains, and a
    result with findings shows no matrix.
    """
    grids = result.grids if whole or not result.findings else ()
    lines = []
    for grid in grids:
        for part in _parts(grid):
            lines += [*_grid(part, colour), ""]
    if grids:
        lines += [*_wrapped(LEGEND, "dim", colour), ""]
    return "".join(f"{line}\n" for line in [*lines, *_findings(result, colour, whole)])


def overview(grid: Grid, columns: Sequence[str], *, colour: bool = False, only_mismatches: bool = False) -> str:
    """Some columns of a matrix, with one row for consecutive identities of a kind with equal outcomes.

    A cell is green if it is as expected; a mismatch is red and ends in `!`. `only_mismatches` leaves out other rows.
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
    merged = [
        (_merged(label, more), [_cell(outcome, bad, "green") for outcome, bad in row])
        for (label, row), more in zip(rows, alike, strict=True)
    ]
    return "".join(f"{line}\n" for line in _table(grid.title, columns, merged, _OVERVIEW_LABEL, colour))


def _merged(label: str, more: int) -> str:
    """The label of a row that stands for `more` others of the same kind."""
    if more > 1:
        return f"{label.split(',')[0]}, {more + 1} kinds of request"
    return f"{label} (+1)" if more else label


def overview_legend(*, colour: bool = False) -> str:
    """The meaning of the outcomes and of the merged rows of an overview."""
    legend = f"{_MEANINGS} · (+1): and another one with the same outcomes"
    return "".join(f"{line}\n" for line in _wrapped(legend, "dim", colour))


def _styled(text: str, style: str, colour: bool) -> str:
    """A text with a style, given as words (`bold red`), if there are colours."""
    if not colour or not style or not text:
        return text
    return f"\x1b[{';'.join(_STYLES[word] for word in style.split())}m{text}\x1b[0m"


def _wrapped(text: str, style: str, colour: bool) -> list[str]:
    return [_styled(line, style, colour) for line in wrap(text, WIDTH, break_on_hyphens=False)]


def _findings(result: Verification, colour: bool, whole: bool) -> Iterator[str]:
    """The lines of the findings by cause, the summary, and the verdict."""
    groups = summary.groups(result.findings)
    printed: set[str] = set()
    for group in groups:
        yield from _group(group, colour, whole, printed)
    if groups:
        hint = "To see the SQL of a finding: supabase-jobs verify --explain ID (ids: --json)."
        yield _styled(hint, "dim", colour)
        if not whole:
            hint = "To see every finding and the access matrix: supabase-jobs verify --all."
            yield _styled(hint, "dim", colour)
        yield ""
    yield f"passed: {', '.join(map(_area, summary.areas(result)))}"
    errors = sum(f.severity is Severity.ERROR for f in result.findings)
    others = len(result.findings) - errors
    verdict = "ok" if result.ok else "FAILED"
    if unchecked := summary.unchecked(result):
        verdict += f" ({unchecked})"
    counts = (
        f"{verdict}: {summary.counted(result.checks, 'check')}, {summary.counted(errors, 'error')},"
        f" {summary.counted(others, 'other finding')}, {result.milliseconds / 1000:.1f} s"
    )
    yield _styled(counts, "bold green" if result.ok else "bold red", colour)


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


def _grid(grid: Grid, colour: bool) -> Iterator[str]:
    rows = [
        (label, [_cell(o, (r, c) in grid.mismatches, _COLOURS.get(o, "")) for c, o in enumerate(cells)])
        for r, (label, cells) in enumerate(zip(grid.rows, grid.cells, strict=True))
    ]
    space = WIDTH - (_CELL + 1) * len(grid.columns)
    width = min(max(map(len, (grid.title, *grid.rows))), space)
    return _table(grid.title, grid.columns, rows, width, colour)


def _cell(outcome: str, mismatch: bool, style: str) -> tuple[str, str]:
    return (f"{outcome[: _CELL - 1]}!", _MISMATCH) if mismatch else (outcome, style)


def _table(title: str, columns: Sequence[str], rows: Sequence[_StyledRow], width: int, colour: bool) -> Iterator[str]:
    """The lines of a table whose first column has this width; names and labels that are too long are wrapped."""
    widths = [width, *([_CELL] * len(columns))]
    names = [wrap(name, w, break_on_hyphens=False) for name, w in zip((title, *columns), widths, strict=True)]
    height = max(map(len, names))
    for texts in zip(*([""] * (height - len(lines)) + lines for lines in names), strict=True):
        yield _line([(text, "bold") for text in texts], width, colour)
    for label, cells in rows:
        *above, last = wrap(label, width, break_on_hyphens=False) or [""]
        yield from above
        yield _line([(last, ""), *cells], width, colour)


def _line(texts: Sequence[tuple[str, str]], width: int, colour: bool) -> str:
    """Texts with their styles in columns, without spaces at the end."""
    line, end, spaces = "", 0, 0
    for number, (text, style) in enumerate(texts):
        if text:
            line += " " * (spaces - end) + _styled(text, style, colour)
            end = spaces + len(text)
        spaces = width + 1 + number * (_CELL + 1)
    return line


def _group(group: summary.Group, colour: bool, whole: bool, printed: set[str]) -> Iterator[str]:
    """A cause or several findings of one object, what the cause explains, and the fix on lines of its own."""
    first = group.first
    if group.has_cause or not group.rest:
        about = _shown(f"{first.object}: {first.message}", whole, _MESSAGE)
    else:
        about = f"{summary.line(first.object)}, {len(group.findings)} times:"
    severity = f"{group.severity}:"
    start, *others = wrap(f"{severity} {about}", WIDTH, break_on_hyphens=False)
    yield start.replace(severity, _styled(severity, f"bold {_SEVERITIES[group.severity]}", colour), 1)
    yield from others
    if group.has_cause:
        areas = Counter(finding.area for finding in group.rest)
        counts = ", ".join(f"{number} {area}" for area, number in areas.items())
        yield f"  explains {summary.counted(len(group.rest), 'finding')} ({counts}):"
    listed = group.rest if group.has_cause or not group.rest else group.findings
    shown = listed if whole else listed[:_SHOWN]
    for finding in shown:
        yield from _indented(_shown(finding.message, whole, _LISTED))
    if len(listed) > len(shown):
        yield _styled(f"  … {len(listed) - len(shown)} more", "dim", colour)
    yield from _entries([entry for finding in group.findings for entry in finding.accept], colour, printed)
    if group.fixes:
        yield _styled("fix:", "dim", colour)
    # psql has to accept it: neither wrapped nor indented, and with its tabs
    yield from map(summary.sql, group.fixes)
    yield ""


def _entries(entries: Iterable[str], colour: bool, printed: set[str]) -> Iterator[str]:
    """Entries of supabase-jobs.toml without wrapping, each once in a report, so that all can be pasted."""
    if new := dict.fromkeys(entry for entry in entries if entry not in printed):
        printed |= new.keys()
        yield _styled("  if it is intended, add to supabase-jobs.toml with the reason:", "dim", colour)
        yield from (f"    {line}" for entry in new for line in summary.visible(entry).splitlines())


def _indented(line: str) -> list[str]:
    return wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _shown(text: str, whole: bool, limit: int) -> str:
    line = summary.line(text)
    return line if whole or len(line) <= limit else f"{line[: limit - 1]}…"


def _area(area: summary.Area) -> str:
    return f"{area.name} {area.passed}/{area.cases}" + ("" if area.checked else " NOT CHECKED")
