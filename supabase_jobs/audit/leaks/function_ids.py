"""Functions that return the ids of rows which the tables refuse to their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.calls import by_generality, leak
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    "function-ids",
    (Severity.WARNING,),
    "A function returns the ids of rows that the tables refuse to its caller.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each function that returns no row of others, which has an id, too."""
    reading = {called.function for called in facts.calls if called.shown}
    for called in by_generality(facts):
        if called.identified and called.function not in reading:
            effect = "read the ids of others' rows"
            yield leak(KIND, Severity.WARNING, called, effect, called.identified)
