"""Functions with numbers that are computed from rows which the tables refuse to their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.answers import saying
from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-aggregate",
    severities=(Severity.WARNING,),
    sentence=(
        "A function returns numbers that are computed from rows which the tables refuse to its"
        " caller."
    ),
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each function. A member may know the numbers of its group."""
    for called in saying(asked(facts), "derived"):
        if called.actor.is_outsider:
            effect = "read numbers that are computed from rows of others"
            yield leak(KIND, Severity.WARNING, called, effect, called.derived)
