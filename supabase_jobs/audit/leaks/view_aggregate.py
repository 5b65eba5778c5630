"""Views with numbers that are computed from rows which their tables refuse."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import saying
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.audit.leaks.views import leak
from supabase_jobs.findings import Severity

KIND = Kind(
    code="view-aggregate",
    order=410,
    severities=(Severity.WARNING,),
    sentence="A view shows numbers that are computed from rows which its tables refuse.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each view. A member may know the numbers of its group."""
    for tried in saying(facts.views, "derived"):
        if tried.actor.is_outsider:
            effect = "read numbers that are computed from rows of others"
            yield leak(KIND, Severity.WARNING, tried, effect, tried.said.derived)
