"""Parts that several reports share: areas with their verdicts, grouped findings, escaped text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from supabase_jobs.findings import Finding, Location, Severity, Verification

# control characters, and those that change the direction of writing; names in a database can
# contain them
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

# consumers show no result without a file; the location of results without any SQL file
_DEFAULT_LOCATION = Location("supabase-jobs.toml", 1)


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
    names = dict.fromkeys(
        [*(case.area for case in result.cases), *(finding.area for finding in result.findings)]
    )
    reported = {finding.id for finding in result.findings}
    return [
        Area(
            name,
            sum(case.area == name for case in result.cases),
            sum(case.area == name and case.id not in reported for case in result.cases),
            len({f.id for f in result.findings if f.area == name and f.severity is Severity.ERROR}),
            len(
                {
                    f.id
                    for f in result.findings
                    if f.area == name and f.severity is not Severity.ERROR
                }
            ),
            name not in result.unchecked,
        )
        for name in names
    ]


def unchecked(result: Verification) -> str:
    """What was not checked: `NOT CHECKED: access; accepted unchecked: functions`, or ''."""
    accepted = {
        finding.area: None for finding in result.findings if finding.id in result.accepted_unchecked
    }
    parts = [f"NOT CHECKED: {', '.join(result.unchecked)}"] if result.unchecked else []
    parts += [f"accepted unchecked: {', '.join(accepted)}"] if accepted else []
    return "; ".join(parts)


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
    def fixes(self) -> list[str]:
        """The different fixes, without those of explained findings."""
        return list(dict.fromkeys(f.fix for f in self.findings if f.fix and not f.cause))


def groups(findings: Sequence[Finding]) -> list[Group]:
    """The findings by cause, in the order of the causes."""
    found: dict[tuple[str, ...], list[Finding]] = {}
    explained: dict[str, list[Finding]] = {}
    causes = {finding.cause for finding in findings}
    for finding in findings:
        if finding.cause:
            explained.setdefault(finding.cause, []).append(finding)
        elif finding.area == "structure" or finding.id in causes:
            found.setdefault((finding.id,), []).append(finding)
        else:  # cells of one row, plans of one query
            key = (finding.severity, finding.area, finding.object, finding.id.rpartition(":")[0])
            found.setdefault(key, []).append(finding)
    return [Group((*group, *explained.get(group[0].id, ()))) for group in found.values()]


def location(result: Verification, finding: Finding) -> Location:
    """The line that creates the object of a finding; for an object that no file creates, the first
    SQL file.
    """
    if (found := result.location(finding)) is not None:
        return found
    files = sorted(source.file for source in result.locations.values())
    return Location(files[0], 1) if files else _DEFAULT_LOCATION


def visible(text: str) -> str:
    """A text with its control characters escaped, as in `\\x1b`; line ends are kept."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def sql(fix: str) -> str:
    """A fix with its control characters escaped, except tabs, which belong to its layout."""
    return "\t".join(map(visible, fix.split("\t")))


def line(text: str) -> str:
    """A text in one line, so that no part of it looks like another line of the report."""
    return " ".join(visible(text).split())
