"""Views that tell whether others have rows, or how many."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question, saying
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.audit.leaks.views import leak
from supabase_jobs.findings import Severity

KIND = Kind(
    code="view-exists",
    order=420,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A view tells whether others have rows, or how many.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each view, and one question about the numbers of all rows."""
    for tried in saying(facts.views, "existing"):
        if tried.actor.is_outsider:
            effect = "find out whether others have rows, or how many"
            yield leak(KIND, Severity.WARNING, tried, effect, tried.said.existing)
    for tried in saying(facts.views, "counted"):
        if tried.actor.is_outsider:
            yield question(KIND, tried, "read a number about all rows by")
