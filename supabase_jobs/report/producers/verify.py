"""The document of a verification."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count

from supabase_jobs.findings import APPLY_FIRST, Case, Finding, Grid, Id, Severity, Verification
from supabase_jobs.outcomes import OUTCOMES, SQLSTATE_MEANING
from supabase_jobs.report.document import (
    CaseGroup,
    Cases,
    Check,
    Code,
    Column,
    Document,
    Entry,
    Extent,
    Findings,
    Legend,
    Limit,
    Line,
    Message,
    Outcomes,
    Prose,
    Remark,
    Result,
    Rules,
    Scripts,
    Section,
    Strong,
    Table,
    Tables,
    default_location,
)
from supabase_jobs.report.phrases import counted, severities

# GitHub shows no job summary above 1 MiB; the rest is for other steps
_SUMMARY = Limit(900_000, "finding", "a job summary.", in_bytes=True)
_NOT_APPLIED = f"""\
none of the tables and functions of the migrations exists
hint: {APPLY_FIRST}
If supabase-jobs status shows them as applied, run the fixes that verify --all
prints, in their order.
"""
_HINTS = (
    Line("To see the SQL of a finding: supabase-jobs verify --explain ID (ids: --json)."),
    Line(
        "To see every finding and the access matrix: supabase-jobs verify --all.",
        extent=Extent.SHORT,
    ),
)
LEGEND = Legend(
    words={**OUTCOMES, "five digits": SQLSTATE_MEANING},
    items=(
        *((word, word, meaning) for word, meaning in OUTCOMES.items()),
        ("other", "23514", SQLSTATE_MEANING),
        ("mismatch", "✗ rows", "not the declared outcome"),
    ),
)
_RULES = Rules(
    "The database deviates from the expectations of the migrations",
    "`supabase-jobs verify --explain ID` prints the SQL of the check.",
    with_cells=("access",),
)


def document(result: Verification) -> Document:
    """Matrices, the findings by cause, the areas, and every case with its SQL."""
    state = unchecked(result)
    described = f" {result.database}" if result.database else ""
    return Document(
        command="verify",
        title="verify",
        ok=result.ok,
        headline=_headline(result),
        tone=_tone(result),
        heading=_heading(result, state),
        opening=(
            f"{counted(result.checks, 'check')}, {counted(len(result.findings), 'finding')}."
            f"{described}",
        ),
        lead=_lead(result),
        closing=_closing(result, state),
        contract=lambda: contract(result),
        sections=tuple(_sections(result)),
        limit=_SUMMARY,
        milliseconds=result.milliseconds,
        database=result.database,
        results=tuple(results(result)),
        checks=lambda: tuple(checks(result)),
        unchecked=result.unchecked,
        default_location=default_location(result.locations),
        rules=_RULES,
        hints=_hints(result),
        instead=_NOT_APPLIED if result.not_applied else "",
        width=80,
        rest=(Code("supabase-jobs verify --all"), " prints all of them."),
        has_contents=True,
    )


def contract(result: Verification) -> Mapping[str, object]:
    """The contract of the CLI (`ok`, `findings`, `summary`, `unchecked`), `accepted_unchecked` and
    `matrix`.
    """
    return {
        "ok": result.ok,
        "findings": [asdict(finding) for finding in result.findings],
        "summary": {
            "checks": result.checks,
            "failed": len(result.findings),
            "ms": round(result.milliseconds, 1),
        },
        "unchecked": list(result.unchecked),
        "accepted_unchecked": [
            {"id": id, "reason": reason} for id, reason in result.accepted_unchecked.items()
        ],
        "matrix": [_matrix(grid) for grid in result.grids],
    }


def _matrix(grid: Grid) -> dict[str, object]:
    return {
        "title": grid.title,
        "rows": [
            {"identity": label, "outcomes": dict(zip(grid.columns, cells, strict=True))}
            for label, cells in zip(grid.rows, grid.cells, strict=True)
        ],
    }


# -------------------------------------------------------------------------------------------------
# sentences


def unchecked(result: Verification) -> str:
    """The unchecked areas: `NOT CHECKED: access; accepted unchecked: functions`, or ''."""
    accepted = {
        finding.area: None for finding in result.findings if finding.id in result.accepted_unchecked
    }
    parts = [f"NOT CHECKED: {', '.join(result.unchecked)}"] if result.unchecked else []
    parts += [f"accepted unchecked: {', '.join(accepted)}"] if accepted else []
    return "; ".join(parts)


def _headline(result: Verification) -> str:
    if result.has_errors:
        return "Failed"
    return "Not everything was checked" if result.unchecked else "Passed"


def _tone(result: Verification) -> str:
    if result.has_errors:
        return "bad"
    return "unsure" if result.unchecked else "good"


def _heading(result: Verification, state: str) -> Prose:
    verdict: str | Strong = "passed" if result.ok else Strong("failed")
    return (verdict, " (", Strong(state), ")") if state else (verdict,)


def _lead(result: Verification) -> str:
    text = f"{result.checks} cases, {severities(result.findings) or 'no findings'},"
    text += f" {result.milliseconds / 1000:.1f} s."
    if result.unchecked:
        text += f" Not checked: {', '.join(result.unchecked)}."
    if result.accepted_unchecked:
        text += f" Accepted unchecked: {len(result.accepted_unchecked)}."
    return text


def _hints(result: Verification) -> tuple[Line, ...]:
    return _HINTS if result.findings else ()


def _closing(result: Verification, state: str) -> tuple[Line, ...]:
    errors = sum(finding.severity is Severity.ERROR for finding in result.findings)
    others = len(result.findings) - errors
    verdict = "ok" if result.ok else "FAILED"
    if state:
        verdict += f" ({state})"
    passed = ", ".join(
        f"{area.name} {area.passed}/{area.cases}{'' if area.checked else ' NOT CHECKED'}"
        for area in areas(result)
    )
    all_passed = not result.findings and not result.unchecked
    return (
        Line(f"passed: {passed}", extent=Extent.WHOLE if all_passed else None),
        Line(
            f"{verdict}: {counted(result.checks, 'check')}, {counted(errors, 'error')},"
            f" {counted(others, 'other finding')}, {result.milliseconds / 1000:.1f} s"
        ),
    )


# -------------------------------------------------------------------------------------------------
# areas


@dataclass(frozen=True)
class Area:
    """The number of cases of an area, of ids with an error and of ids with another finding; and if
    it was checked.

    `passed` are the cases without any finding.
    """

    name: str
    cases: int
    passed: int
    failed: int
    others: int
    checked: bool

    @property
    def verdict(self) -> str:
        """`ok`, `FAILED` or `NOT CHECKED`; an error counts as failed even if the area was only
        partly checked.
        """
        if self.failed:
            return "FAILED"
        return "ok" if self.checked else "NOT CHECKED"


def areas(result: Verification) -> list[Area]:
    """Each area with a case or a finding, in the order of the run."""
    reported = {finding.id for finding in result.findings}
    found = []
    for name in _area_names(result):
        cases = [case.id for case in result.cases if case.area == name]
        findings = [finding for finding in result.findings if finding.area == name]
        errors = {f.id for f in findings if f.severity is Severity.ERROR}
        others = {f.id for f in findings if f.severity is not Severity.ERROR}
        found.append(
            Area(
                name=name,
                cases=len(cases),
                passed=sum(id not in reported for id in cases),
                failed=len(errors),
                others=len(others),
                checked=name not in result.unchecked,
            )
        )
    return found


def _area_names(result: Verification) -> list[str]:
    cases = [case.area for case in result.cases]
    return list(dict.fromkeys([*cases, *(finding.area for finding in result.findings)]))


def _areas(result: Verification) -> Tables:
    columns = (
        Column("area", "Area"),
        Column("cases", "Cases", is_number=True),
        Column("failed", "Failed", is_number=True),
        Column("other findings", "Other", is_number=True),
        Column("verdict", "Verdict", badges=_BADGES),
    )
    rows = tuple(
        (area.name, str(area.cases), str(area.failed), str(area.others), area.verdict)
        for area in areas(result)
    )
    return Tables("Areas", "areas", (Table("Areas", columns, rows),))


_BADGES = {"ok": "good", "FAILED": "error", "NOT CHECKED": "warning"}


# -------------------------------------------------------------------------------------------------
# findings


@dataclass(frozen=True)
class Group:
    """Findings with one cause: the cause first if it is a finding itself, then what it explains.

    Without a cause among the findings (`has_cause` is false), it has the cells of one identity, the
    scenarios of one object, or a single finding.
    """

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        """The cause, or the first finding."""
        return self.findings[0]

    @property
    def rest(self) -> tuple[Finding, ...]:
        """The other findings."""
        return self.findings[1:]

    @property
    def has_cause(self) -> bool:
        """Whether the first finding explains the others."""
        return bool(self.rest) and self.rest[0].cause == self.first.id

    @property
    def severity(self) -> Severity:
        """The highest severity of its findings."""
        return min((finding.severity for finding in self.findings), key=list(Severity).index)

    @property
    def fixes(self) -> tuple[str, ...]:
        """The different fixes, without those of explained findings."""
        return tuple(dict.fromkeys(f.fix for f in self.findings if f.fix and not f.cause))


def groups(findings: Sequence[Finding]) -> list[Group]:
    """The findings by cause, in the order of the causes."""
    found: dict[tuple[object, ...], list[Finding]] = {}
    explained: dict[str, list[Finding]] = {}
    causes = {finding.cause for finding in findings}
    for finding in findings:
        if finding.cause:
            explained.setdefault(finding.cause, []).append(finding)
        elif finding.area == "structure" or finding.id in causes:
            found.setdefault((finding.id,), []).append(finding)
        else:  # cells of one row, plans of one query
            key = (finding.severity, finding.area, finding.object, finding.id.parts[:-1])
            found.setdefault(key, []).append(finding)
    return [Group((*group, *explained.get(group[0].id, ()))) for group in found.values()]


def _entry(group: Group, result: Verification, cases: Mapping[str, Case]) -> Entry:
    messages = tuple(_message(finding, cases) for finding in group.findings)
    location = result.location(group.first)
    line = f" · {location.file}:{location.line}" if location else ""
    accept = (entry for finding in group.findings for entry in finding.accept)
    return Entry(
        severity=group.severity,
        object=group.first.object,
        messages=messages[:1] if group.has_cause else messages,
        label=f"{group.severity}: ",
        badge=group.severity,
        is_list=True,
        explained=messages[1:] if group.has_cause else (),
        accept=tuple(accept),
        fixes=group.fixes,
        footer=f"{group.first.area}{line}",
    )


def _message(finding: Finding, cases: Mapping[str, Case]) -> Message:
    return Message(finding.message, finding.area, cases.get(finding.id))


def results(result: Verification) -> Iterator[Result]:
    """The findings with the lines that create their objects."""
    explained = Counter(finding.cause for finding in result.findings)
    for finding in result.findings:
        yield Result(
            finding,
            result.location(finding),
            explained[finding.id],
            result.accepted_unchecked.get(finding.id, ""),
        )


def checks(result: Verification) -> Iterator[Check]:
    """The cases, and the findings without a case, such as an object that is in no migration."""
    for area in _area_names(result):
        findings: dict[str, list[Finding]] = {}
        for finding in result.findings:
            if finding.area == area:
                findings.setdefault(finding.id, []).append(finding)
        for case in result.cases:
            if case.area == area:
                yield _check(case, case.name, findings.pop(case.id, []), result)
        for without_case in findings.values():
            yield _check(without_case[0], without_case[0].message, without_case, result)


def _check(
    subject: Case | Finding, name: str, findings: Sequence[Finding], result: Verification
) -> Check:
    return Check(
        id=subject.id,
        area=subject.area,
        object=subject.object,
        name=name,
        group=f"{subject.area}.{subject.object}",
        location=result.location(subject),
        remark=Remark.of(findings),
    )


# -------------------------------------------------------------------------------------------------
# sections


def _sections(result: Verification) -> Iterator[Section]:
    yield _areas(result)
    if result.findings:
        cases: dict[str, Case] = {case.id: case for case in (*result.unexpected, *result.cases)}
        entries = tuple(_entry(group, result, cases) for group in groups(result.findings))
        yield Findings(title="", entries=entries, anchor="findings", heading="Findings")
    matrices = tuple(_outcomes(result))
    yield from matrices
    if matrices:
        yield LEGEND
    shown = {case.id for matrix in matrices for case in matrix.cases.values()}
    without = (
        " cases that passed, or whose finding is above, have no room for their SQL in this page. ",
        Code("supabase-jobs verify --explain ID"),
        " prints it.",
    )
    title = "Other cases" if matrices else "Cases"
    yield Cases(title, "cases", tuple(_case_groups(result, shown)), without)
    yield Scripts(
        title="Preambles of the scripts",
        anchor="preambles",
        intro=(
            "To run a case in psql, paste its preamble, then its own SQL. The transaction is rolled"
            " back.",
        ),
        scripts=result.preambles,
        is_needed=True,
    )


def _outcomes(result: Verification) -> Iterator[Outcomes]:
    cases = {case.id: case for case in result.cases}
    for number, grid in zip(count(1), result.grids, strict=False):
        found = {}
        for r, label in enumerate(grid.rows):
            for c, action in enumerate(grid.columns):
                id = Id("access", grid.title, label, action)
                if id in cases:
                    found[r, c] = cases[id]
        yield Outcomes(grid, f"matrix-{number}", found)


def _case_groups(result: Verification, shown: set[Id]) -> Iterator[CaseGroup]:
    findings: dict[str, list[Finding]] = {}
    for finding in result.findings:
        findings.setdefault(finding.id, []).append(finding)
    grouped: dict[tuple[str, str], list[tuple[Case, tuple[Finding, ...]]]] = {}
    for case in result.cases:
        if case.id not in shown:
            own = tuple(findings.get(case.id, ()))
            grouped.setdefault((case.area, case.object), []).append((case, own))
    for (area, subject), cases in grouped.items():
        yield CaseGroup(area, subject, tuple(cases))
