"""The drift of a database as text: wider access first, each finding with both texts of SQL."""

from collections.abc import Iterator, Sequence

from supabase_jobs.findings import AccessChange, AccessDiff, Drift, DriftFinding
from supabase_jobs.report import summary
from supabase_jobs.report.access.sentences import sentences
from supabase_jobs.report.wording import counted

# how many sentences about the access a finding shows
_SENTENCES = 5


def drift(result: Drift) -> str:
    """The findings, what they change in the access, and the verdict."""
    lines: list[str] = []
    for finding in result.findings:
        lines += [*_finding(finding, result.access), ""]
    if result.unattributed:
        lines += ["All of them together:", *_changes(result.unattributed, result.access), ""]
    seconds = result.milliseconds / 1000
    verdict = counted(len(result.findings), "difference") if result.findings else "no drift"
    files = counted(result.migrations, "migration")
    lines.append(f"{verdict}: {result.database} against {files}, {seconds:.1f} s")
    return "".join(f"{line}\n" for line in lines)


def _finding(finding: DriftFinding, access: AccessDiff | None) -> Iterator[str]:
    yield f"{finding.severity:<7}  {summary.line(finding.object)}: {summary.line(finding.message)}"
    yield from _changes(finding.access, access)
    if finding.untried:
        yield f"  not tried: {summary.line(finding.untried)}"
    # psql has to accept them: not indented
    yield "  to make it a migration:"
    yield from finding.capture.splitlines()
    yield "  to remove it from the database:"
    yield from finding.restore.splitlines()


def _changes(changes: Sequence[AccessChange], access: AccessDiff | None) -> Iterator[str]:
    found = [] if access is None else list(sentences(access, changes))
    for sentence in found[:_SENTENCES]:
        yield f"  {sentence.change}: {summary.line(sentence.text)}"
    if len(found) > _SENTENCES:
        yield f"  and {len(found) - _SENTENCES} more; --json has all of them"
