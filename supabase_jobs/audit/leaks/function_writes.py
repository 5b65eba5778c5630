"""Functions that change rows which the tables refuse to their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    "function-writes",
    (Severity.ERROR,),
    "A function changes or deletes rows that the tables refuse to its caller.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each function."""
    for called in asked(facts):
        if called.changed:
            effect = "change or delete rows of others"
            yield leak(KIND, Severity.ERROR, called, effect, called.changed)
