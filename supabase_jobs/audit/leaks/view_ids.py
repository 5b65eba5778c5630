"""Views that show the ids of rows which their tables refuse."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind, who
from supabase_jobs.audit.leaks.view import explanation, tables_of
from supabase_jobs.findings import Severity

KIND = Kind("view-ids", (Severity.WARNING,), "A view shows the ids of rows that its tables refuse.")


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each view."""
    for tried in sorted(facts.views, key=lambda t: t.actor.rank):
        if not tried.identified or tables_of(tried):
            continue
        message = (
            f"{who(tried.actor)} read the ids of others' rows by the view, which"
            f" {', '.join(tried.identified)} refuses"
        )
        yield ExplainedLeak(
            kind=KIND,
            severity=Severity.WARNING,
            object=tried.view.label,
            message=message,
            name=tried.view.label,
            explanation=explanation(tried.view, tried.actor),
        )
