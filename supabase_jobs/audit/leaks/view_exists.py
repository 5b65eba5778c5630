"""Views that tell whether others have rows, or how many."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.answers import saying
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.audit.leaks.views import leak
from supabase_jobs.findings import Severity

KIND = Kind(
    "view-exists",
    (Severity.WARNING, Severity.INFO),
    "A view tells whether others have rows, or how many.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each view. A number about all rows may be public."""
    for tried in saying(facts.views, "existing"):
        if tried.actor.is_outsider:
            effect = "find out whether others have rows, or how many"
            yield leak(KIND, Severity.WARNING, tried, effect, tried.existing)
    for tried in saying(facts.views, "counted"):
        if tried.actor.is_outsider:
            effect = "find out how many rows there are, or a sum of them"
            yield leak(KIND, Severity.INFO, tried, effect, tried.counted)
