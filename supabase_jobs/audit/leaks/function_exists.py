"""Functions whose result tells whether others have rows, or how many."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.calls import by_generality, leak
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    "function-exists",
    (Severity.WARNING,),
    "A function tells whether others have rows, or how many.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each function: whoever reads a row, or its id, knows that it exists."""
    known = {called.function for called in facts.calls if called.shown or called.identified}
    for called in by_generality(facts):
        if called.existing and called.function not in known:
            effect = "find out by an id whether others have rows, or how many"
            yield leak(KIND, Severity.WARNING, called, effect, called.existing)
