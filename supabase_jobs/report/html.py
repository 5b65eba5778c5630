"""A verification as one self-contained HTML page: no script, no font, no image, no network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from supabase_jobs.findings import Case, Finding, Grid, Severity, Verification
from supabase_jobs.outcomes import OUTCOMES, SQLSTATE_MEANING
from supabase_jobs.report import summary

# a page stays below 500 kB: the findings get a part of it, and the SQL of the cases what is left
LIMIT_BYTES = 490_000
_FINDINGS_BYTES = 120_000
# the most that the elements around a script add to it: a dialog with its button, or a summary
_DIALOG_BYTES = 360
_SUMMARY_BYTES = 100


@dataclass(frozen=True)
class _Cell:
    """A cell of a grid: `case` is None if it was not probed; `anchor` is unique in the page."""

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
        return sum(
            any(f.severity is Severity.ERROR for f in findings) for _, findings in self.cases
        )


def verification(result: Verification) -> str:
    """The page: verdict, findings with their fixes, matrices, and the SQL of the cases that it has
    room for.
    """
    findings: dict[str, list[Finding]] = {}
    for finding in result.findings:
        findings.setdefault(finding.id, []).append(finding)
    matrices = list(_matrices(result, findings))
    templates = environment()
    articles = _Articles(result, templates)
    page = partial(
        templates.get_template("page.html.jinja").render,
        result=result,
        areas=summary.areas(result),
        omitted=articles.omitted,
        counts=[
            (severity, sum(f.severity is severity for f in result.findings))
            for severity in Severity
        ],
        matrices=matrices,
        groups=list(
            _groups(result, findings, {cell.case.id for cell in _cells(matrices) if cell.case})
        ),
        outcomes=OUTCOMES,
        sqlstate_meaning=SQLSTATE_MEANING,
    )
    without = page(
        articles=articles.plain, details={}, preambles={}, without_details=len(result.cases)
    )
    room = _Room(LIMIT_BYTES - _size(without) - _DIALOG_BYTES, result.preambles)
    shown = articles.with_scripts(room)
    details = _details(result, templates.get_template("case.html.jinja"), findings, matrices, room)
    preambles = {key: text for key, text in result.preambles.items() if key in room.preambles}
    return page(
        articles=shown,
        details=details,
        preambles=preambles,
        without_details=len(result.cases) - len(details),
    )


class _Room:
    """The bytes that are left for scripts. `preambles` are the keys of those that the scripts so
    far need.
    """

    def __init__(self, size: int, preambles: Mapping[str, str]) -> None:
        self._left = size
        self._known = preambles
        self.preambles: set[str] = set()

    def take(self, case: Case, text: str, around: int) -> bool:
        """Whether there was room for a text with the case's script, `around` it, and for the
        preamble that it needs.
        """
        key = case.preamble or case.area
        size = _size(text) + around
        if key in self._known and key not in self.preambles:
            size += (
                _size(escape(self._known[key]))
                + 2 * _size(key)
                + 20 * self._known[key].count("\n--")
                + _DIALOG_BYTES
            )
        if size > self._left:
            return False
        self._left -= size
        self.preambles |= {key} & self._known.keys()
        return True


class _Articles:
    """The findings, one article for each group. `omitted` is the number of findings without room
    for their text.
    """

    def __init__(self, result: Verification, templates: Environment) -> None:
        self._result = result
        self._script = templates.get_template("script.html.jinja")
        self._article = templates.get_template("finding.html.jinja")
        self._cases = {case.id: case for case in (*result.unexpected, *result.cases)}
        self._groups: list[summary.Group] = []
        self.plain: list[Markup] = []
        self.omitted, room = 0, _FINDINGS_BYTES
        for group in summary.groups(result.findings):
            text = self._render(group, {})
            room -= _size(text)
            if room < 0:
                self.omitted += len(group.findings)
            else:
                self._groups.append(group)
                self.plain.append(text)

    def with_scripts(self, room: _Room) -> list[Markup]:
        """The articles with the SQL of their checks, as far as there is room."""
        scripts = {}
        for finding in (finding for group in self._groups for finding in group.findings):
            case = self._cases.get(finding.id)
            if case is None or not case.sql or case.id in scripts:
                continue
            page = self._script.render(case=case, result=self._result, link=True, findings=())
            text = Markup(page)  # noqa: S704
            if room.take(case, text, _SUMMARY_BYTES):
                scripts[case.id] = text
        return [self._render(group, scripts) for group in self._groups]

    def _render(self, group: summary.Group, scripts: Mapping[str, Markup]) -> Markup:
        return Markup(self._article.render(group=group, result=self._result, scripts=scripts))  # noqa: S704


def _details(
    result: Verification,
    template: Template,
    findings: Mapping[str, list[Finding]],
    matrices: list[_Matrix],
    room: _Room,
) -> dict[str, Markup]:
    """What the page shows of a case on request, by its id: those with a finding, then cells, then
    other cases.
    """
    cells = {cell.case.id for cell in _cells(matrices) if cell.case}
    details = {}
    for case in sorted(
        result.cases, key=lambda case: (case.id not in findings, case.id not in cells)
    ):
        own = findings.get(case.id, ())
        page = template.render(case=case, findings=own, result=result, link=case.id not in cells)
        text = Markup(page)  # noqa: S704
        if room.take(
            case,
            text,
            (_size(escape(case.name)) + _DIALOG_BYTES) if case.id in cells else _SUMMARY_BYTES,
        ):
            details[case.id] = text
    return details


def _size(text: str) -> int:
    return len(text.encode())


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
    made.filters["code"] = _code
    return made


def _code(text: str) -> Markup:
    """A text in an element, with its quotes as they are: SQL has many."""
    return Markup(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))  # noqa: S704


def _matrices(result: Verification, findings: Mapping[str, list[Finding]]) -> Iterator[_Matrix]:
    cases = {case.id: case for case in result.cases}
    numbers = count(1)

    def cell(grid: Grid, r: int, c: int) -> _Cell:
        id = f"access:{grid.title}:{grid.rows[r]}:{grid.columns[c]}"
        anchor = f"probe-{next(numbers)}"
        return _Cell(
            grid.cells[r][c],
            (r, c) in grid.mismatches,
            anchor,
            cases.get(id),
            tuple(findings.get(id, ())),
        )

    for number, grid in enumerate(result.grids, 1):
        rows = tuple(
            (label, tuple(cell(grid, r, c) for c in range(len(grid.columns))))
            for r, label in enumerate(grid.rows)
        )
        yield _Matrix(
            grid.title, f"matrix-{number}", grid.columns, rows, "access", len(grid.mismatches)
        )


def _cells(matrices: list[_Matrix]) -> Iterator[_Cell]:
    for matrix in matrices:
        for _, cells in matrix.rows:
            yield from cells


def _groups(
    result: Verification, findings: Mapping[str, list[Finding]], in_matrix: set[str]
) -> Iterator[_Group]:
    grouped: dict[tuple[str, str], list[tuple[Case, tuple[Finding, ...]]]] = {}
    for case in result.cases:
        if case.id not in in_matrix:
            grouped.setdefault((case.area, case.object), []).append(
                (case, tuple(findings.get(case.id, ())))
            )
    for (area, subject), cases in grouped.items():
        yield _Group(area, subject, tuple(cases))
