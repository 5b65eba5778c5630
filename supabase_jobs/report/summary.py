"""What the reports say alike: the verdict, a line for each area, the legend of the access matrix."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from supabase_jobs.findings import Finding, Severity, Verification

OTHER_OUTCOMES = "the SQLSTATE of any other error"

# what a terminal obeys, and what turns the direction of writing round; a name in a database can hold all of it
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Area:
    """How many cases an area asked, how many ids have an error, how many another finding; whether it was checked."""

    name: str
    cases: int
    failed: int
    others: int
    checked: bool

    @property
    def verdict(self) -> str:
        """`ok`, `FAILED` or `NOT CHECKED`; what failed, failed, even where not all of it was checked."""
        if self.failed:
            return "FAILED"
        return "ok" if self.checked else "NOT CHECKED"


def areas(result: Verification) -> list[Area]:
    """A line for each area that asked or found anything, in the order in which they ran."""
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


def grouped(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings of one kind together, errors first: those about one object that the same thing mends."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        # what nothing mends has nothing in common
        key = (finding.severity, finding.area, finding.object, finding.fix or finding.id)
        groups.setdefault(key, []).append(finding)
    return sorted(groups.values(), key=lambda group: list(Severity).index(group[0].severity))


def visible(text: str) -> str:
    """A text whose control characters show, as in `\\x1b`, and do nothing; line ends are left."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def line(text: str) -> str:
    """A text in one line, fit to be printed: nothing in it can look like a line of the report's own."""
    return " ".join(visible(text).split())
