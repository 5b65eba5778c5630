"""A verification as one self-contained HTML page: no script, no font, no image, no network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from supabase_jobs.findings import Case, Finding, Grid, Severity, Verification
from supabase_jobs.outcomes import OUTCOMES, SQLSTATE_MEANING
from supabase_jobs.report import summary


@dataclass(frozen=True)
class _Cell:
    """A cell of a grid: `case` is None if the cell was not probed; `anchor` is unique in the page."""

    outcome: str
    mismatch: bool
    anchor: str
    case: Case | None
    findings: tuple[Finding, ...]

    @property
    def kind(self) -> str:
        """The CSS class of the outcome."""
        return self.outcome if self.outcome in OUTCOMES else "other"


@dataclass(frozen=True)
class _Matrix:
    """A grid with the cases of its cells."""

    title: str
    anchor: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[_Cell, ...]], ...]
    area: str
    mismatches: int


@dataclass(frozen=True)
class _Group:
    """The cases of one object that are in no grid."""

    area: str
    object: str
    cases: tuple[tuple[Case, tuple[Finding, ...]], ...]

    @property
    def failed(self) -> int:
        """The number of cases with an error."""
        return sum(any(f.severity is Severity.ERROR for f in findings) for _, findings in self.cases)


def verification(result: Verification) -> str:
    """The page: verdict, findings with their fixes, matrices, and the SQL of each case."""
    findings: dict[str, list[Finding]] = {}
    for finding in result.findings:
        findings.setdefault(finding.id, []).append(finding)
    matrices = list(_matrices(result, findings))
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            result=result,
            areas=summary.areas(result),
            findings=summary.groups(result.findings),
            counts=[(severity, sum(f.severity is severity for f in result.findings)) for severity in Severity],
            cases={case.id: case for case in (*result.unexpected, *result.cases)},
            matrices=matrices,
            groups=list(_groups(result, findings, {cell.case.id for cell in _cells(matrices) if cell.case})),
            outcomes=OUTCOMES,
            sqlstate_meaning=SQLSTATE_MEANING,
        )
    )


def environment() -> Environment:
    """The templates of the HTML reports; values are escaped."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["seconds"] = lambda milliseconds: f"{milliseconds / 1000:.1f} s"
    return made


def _matrices(result: Verification, findings: Mapping[str, list[Finding]]) -> Iterator[_Matrix]:
    cases = {case.id: case for case in result.cases}
    numbers = count(1)

    def cell(grid: Grid, r: int, c: int) -> _Cell:
        id = f"access:{grid.title}:{grid.rows[r]}:{grid.columns[c]}"
        anchor = f"probe-{next(numbers)}"
        return _Cell(grid.cells[r][c], (r, c) in grid.mismatches, anchor, cases.get(id), tuple(findings.get(id, ())))

    for number, grid in enumerate(result.grids, 1):
        rows = tuple(
            (label, tuple(cell(grid, r, c) for c in range(len(grid.columns)))) for r, label in enumerate(grid.rows)
        )
        yield _Matrix(grid.title, f"matrix-{number}", grid.columns, rows, "access", len(grid.mismatches))


def _cells(matrices: list[_Matrix]) -> Iterator[_Cell]:
    for matrix in matrices:
        for _, cells in matrix.rows:
            yield from cells


def _groups(result: Verification, findings: Mapping[str, list[Finding]], in_matrix: set[str]) -> Iterator[_Group]:
    grouped: dict[tuple[str, str], list[tuple[Case, tuple[Finding, ...]]]] = {}
    for case in result.cases:
        if case.id not in in_matrix:
            grouped.setdefault((case.area, case.object), []).append((case, tuple(findings.get(case.id, ()))))
    for (area, subject), cases in grouped.items():
        yield _Group(area, subject, tuple(cases))
