"""Views that show the ids of rows which their tables refuse."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import saying
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.audit.leaks.views import leak
from supabase_jobs.findings import Severity

KIND = Kind(
    code="view-ids",
    order=400,
    severities=(Severity.WARNING,),
    sentence="A view shows the ids of rows that its tables refuse.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each view."""
    for tried in saying(facts.views, "identified"):
        effect = "read the ids of others' rows"
        yield leak(KIND, Severity.WARNING, tried, effect, tried.said.identified)
