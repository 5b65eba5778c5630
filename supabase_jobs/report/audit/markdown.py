"""An audit as Markdown, for a comment on a pull request: leaks, changes, and the rest in
collapsible parts.
"""

from collections.abc import Iterable, Sequence

from supabase_jobs.findings import Audit, AuditFinding
from supabase_jobs.report import markup
from supabase_jobs.report.audit import matrix
from supabase_jobs.report.wording import counted

# GitHub accepts no comment above 65,536 characters
LIMIT_CHARACTERS = 60_000
# the first line, by which a workflow finds its comment again
MARKER = "<!-- supabase-jobs audit -->"
_LEGEND = " · ".join(f"{word}: {meaning}" for word, meaning in matrix.MEANINGS.items())


def audit(result: Audit) -> str:
    """The verdict, the leaks, what differs from the baseline, and collapsed the notes and the
    matrix.
    """
    leaks, deviations, notes = matrix.leaks(result), matrix.deviations(result), matrix.notes(result)
    counts = [counted(len(leaks), "leak")]
    if result.baseline:
        counts.append(f"{counted(len(deviations), 'difference')} from {result.baseline}")
    report = Parts(LIMIT_CHARACTERS)
    verdict = "passed" if result.ok else "**failed**"
    report.add(
        f"{MARKER}\n## supabase-jobs audit: {verdict}\n\n{escaped(', '.join(counts))};"
        f" {matrix.coverage(result)}.\n"
    )
    report.add_all("### Leaks\n", _findings(leaks))
    report.add_all("### Changes\n", _findings(deviations))
    report.add_folded(
        f"Who can do what: {counted(len(result.summaries), 'table')}", access_table(result)
    )
    not_tested = [
        f"- {markup.code(i.object)}: {escaped(i.why.rstrip('.'))}. {escaped(i.help)}\n"
        for i in result.not_tested
    ]
    report.add_folded(f"Not tested: {counted(len(not_tested), 'object')}", not_tested)
    report.add_folded(counted(len(notes), "note"), _findings(notes))
    return report.text()


class Parts:
    """Parts of a report up to a limit; what does not fit is counted."""

    def __init__(self, limit: int) -> None:
        self._parts: list[str] = []
        self._room, self._omitted = limit, 0

    def add(self, part: str) -> bool:
        """Append a part if it fits."""
        if len(part) > self._room:
            self._omitted += 1
            return False
        self._parts.append(part)
        self._room -= len(part) + 1
        return True

    def add_all(self, heading: str, parts: Sequence[str]) -> None:
        """Append a heading and the parts that fit, if there are parts."""
        if parts:
            self.add(heading)
        for part in parts:
            self.add(part)

    def add_folded(self, title: str, parts: Sequence[str]) -> None:
        """Append a collapsed section with the parts that fit."""
        if not parts:
            return
        start, end = f"<details><summary>{markup.html(title)}</summary>\n", "</details>\n"
        self._room -= len(end) + 1
        if self.add(start):
            for part in parts:
                self.add(part)
            self._parts.append(end)

    def text(self) -> str:
        """The report; it says how many parts did not fit."""
        if self._omitted:
            self._parts.append(
                f"{self._omitted} more {'part does' if self._omitted == 1 else 'parts do'} not fit"
                " into a comment;"
                " --format html has all of them.\n"
            )
        return "\n".join(self._parts)


def _findings(findings: Iterable[AuditFinding]) -> list[str]:
    return [_group(group) for group in matrix.grouped(findings)]


def _group(group: Sequence[AuditFinding]) -> str:
    first = group[0]
    messages = "\n<br>".join(escaped(finding.message) for finding in group)
    fix = f"\n{markup.block(first.fix)}" if first.fix else ""
    return (
        f"**{first.severity}** {markup.code(first.object)}: {messages}\n<br>cause:"
        f" {escaped(first.cause)}\n{fix}"
    )


def access_table(result: Audit) -> list[str]:
    """The matrix and its legend; [] if there are no tables."""
    rows = [
        (markup.code(row.object), *(_cell(row, action) for action in matrix.WORDS))
        for row in matrix.rows(result)
    ]
    return [markup.table(("table", *matrix.WORDS.values()), rows), f"{_LEGEND}\n"] if rows else []


def _cell(row: matrix.Row, action: str) -> str:
    who = row.access.get(action, "")
    return f"**{who}** ⚠️" if action in row.leaks else who


def escaped(text: str) -> str:
    """Escaped; an @ would notify a user of that name."""
    return markup.plain(text).replace("@", "&#64;")
