"""Parts that several reports share: areas with their verdicts, grouped findings, escaped text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from supabase_jobs.findings import Finding, Severity, Verification

# control characters, and those that change the direction of writing; names in a database can contain them
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Area:
    """The number of cases of an area, of ids with an error and of ids with another finding; and if it was checked."""

    name: str
    cases: int
    failed: int
    others: int
    checked: bool

    @property
    def verdict(self) -> str:
        """`ok`, `FAILED` or `NOT CHECKED`; an error counts as failed even if the area was only partly checked."""
        if self.failed:
            return "FAILED"
        return "ok" if self.checked else "NOT CHECKED"


def areas(result: Verification) -> list[Area]:
    """Each area with a case or a finding, in the order of the run."""
    names = dict.fromkeys([*(case.area for case in result.cases), *(finding.area for finding in result.findings)])
    return [
        Area(
            name,
            sum(case.area == name for case in result.cases),
            len({f.id for f in result.findings if f.area == name and f.severity is Severity.ERROR}),
            len({f.id for f in result.findings if f.area == name and f.severity is not Severity.ERROR}),
            name not in result.unchecked,
        )
        for name in names
    ]


def unchecked(result: Verification) -> str:
    """What was not checked: `NOT CHECKED: access; accepted unchecked: functions`, or ''."""
    accepted = {finding.area: None for finding in result.findings if finding.id in result.accepted_unchecked}
    parts = [f"NOT CHECKED: {', '.join(result.unchecked)}"] if result.unchecked else []
    parts += [f"accepted unchecked: {', '.join(accepted)}"] if accepted else []
    return "; ".join(parts)


def grouped(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings grouped by severity, area, object and fix; errors first."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        # findings without a fix are not grouped
        key = (finding.severity, finding.area, finding.object, finding.fix or finding.id)
        groups.setdefault(key, []).append(finding)
    return sorted(groups.values(), key=lambda group: list(Severity).index(group[0].severity))


def visible(text: str) -> str:
    """A text with its control characters escaped, as in `\\x1b`; line ends are kept."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def line(text: str) -> str:
    """A text in one line, so that no part of it looks like another line of the report."""
    return " ".join(visible(text).split())
