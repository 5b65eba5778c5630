"""What the reports of an audit share: the words of the matrix, its rows, and the parts of the
findings.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from supabase_jobs.findings import Audit, AuditFinding, Severity
from supabase_jobs.report.wording import counted

# action → heading
WORDS = {"select": "read", "insert": "insert", "update": "update", "delete": "delete"}
# word of a cell → meaning
MEANINGS = {
    "none": "nobody",
    "own": "one's own rows",
    "group": "rows of one's group",
    "users": "every row, when signed in",
    "all": "every row, without signing in",
}
_OUTSIDERS = (("anon", "all"), ("newcomer", "users"), ("stranger", "users"))


@dataclass(frozen=True)
class Row:
    """An object, and who may do what with it: action → one of `MEANINGS`. `leaks` are actions with
    a finding.
    """

    object: str
    access: Mapping[str, str]
    leaks: frozenset[str]


def rows(result: Audit) -> Iterator[Row]:
    """The tables, with the states of rows in which the access differs; then views and topics of
    Realtime.
    """
    known = {item.object: item for item in result.summaries}
    for item in result.summaries:
        table = known.get(item.object.partition(" (")[0], item)
        if table is item or item.access != table.access or not item.leaks <= table.leaks:
            yield Row(item.object, item.access, item.leaks)
    tried = {(cell.object, cell.action.partition(" ")[0]) for cell in result.cells}
    for name, callers in sorted(result.access.items()):
        if name not in known:
            access = {
                action: _widest(callers, word)
                for action, word in WORDS.items()
                if (name, action) in tried
            }
            leaks = {
                f.id.rpartition(":")[2] for f in result.findings if f.object == name and _counts(f)
            }
            yield Row(name, access, frozenset(leaks & access.keys()))


def leaks(result: Audit) -> list[AuditFinding]:
    """The findings that need no baseline: errors and warnings."""
    return [f for f in result.findings if _counts(f) and not is_deviation(f)]


def deviations(result: Audit) -> list[AuditFinding]:
    """What differs from the baseline, without infos."""
    return [f for f in result.findings if _counts(f) and is_deviation(f)]


def notes(result: Audit) -> list[AuditFinding]:
    """The infos: access that may be intended, accepted leaks, new objects."""
    return [f for f in result.findings if not _counts(f)]


def grouped(findings: Iterable[AuditFinding]) -> list[list[AuditFinding]]:
    """Findings with the same object, severity, cause and fix together, in their order."""
    groups: dict[tuple[str, ...], list[AuditFinding]] = {}
    for finding in findings:
        key = (finding.object, finding.severity, finding.cause, finding.fix or finding.id)
        groups.setdefault(key, []).append(finding)
    return list(groups.values())


def is_deviation(finding: AuditFinding) -> bool:
    """Whether a finding compares the access with a baseline."""
    return finding.id.startswith("baseline:")


def coverage(result: Audit) -> str:
    """How much was tested, in one phrase."""
    tables, cells = counted(result.tables, "table"), counted(len(result.cells), "cell")
    shown = f"rows for {result.planted} of {tables}, {cells}"
    return (
        shown
        if result.api_cells is None
        else f"{shown}, {counted(result.api_cells, 'request')} to the API"
    )


def _counts(finding: AuditFinding) -> bool:
    return finding.severity is not Severity.INFO


def _widest(callers: Mapping[str, str], word: str) -> str:
    allowed = {caller for caller, actions in callers.items() if word in actions.split()}
    within = "none" if not allowed else "own" if allowed == {"owner"} else "group"
    return next((who for caller, who in _OUTSIDERS if caller in allowed), within)
