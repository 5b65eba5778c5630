"""Files that a caller uploads or moves into the folders of others."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.attempts import inserts_of_outsiders
from supabase_jobs.audit.leaks.leak import Kind, ShownLeak, shown, who
from supabase_jobs.audit.probes.attempt import MOVE, OTHER
from supabase_jobs.findings import Severity

KIND = Kind(
    code="upload",
    order=200,
    severities=(Severity.ERROR, Severity.WARNING),
    sentence="Users upload files into the folders of others.",
)


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each bucket: a warning if its files are readable too."""
    for group in facts.objects.values():
        for tried in inserts_of_outsiders(group):
            if tried.table.is_storage and tried.whose == OTHER:
                message = f"{who(tried.actor)} upload files into the folders of others"
                severity = Severity.WARNING if facts.reads_other(tried) else Severity.ERROR
                yield shown(KIND, severity, tried, message)
                break
        else:
            yield from _moves(group)


def _moves(group: Sequence[Tried]) -> Iterator[ShownLeak]:
    """A file of one's own that gets a path in another's folder, where no upload is let."""
    for tried in group:
        if tried.name == MOVE and tried.reached and not tried.failed:
            message = f"{who(tried.actor)} move files of their own into the folders of others"
            yield shown(KIND, Severity.ERROR, tried, message)
            return
