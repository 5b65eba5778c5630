"""Functions that subtract a number in the caller's own row, and add to it if it is negative."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.calls import asked, leak_of_function
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-negative",
    severities=(Severity.WARNING,),
    sentence="A function adds to a number of its caller if it is called with a negative one.",
)

_ADVICE = "Refuse numbers that are not positive."


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each function."""
    for called in asked(facts):
        if called.raised:
            columns = ", ".join(called.raised)
            effect = f"raise {columns} by a negative number, which the tables refuse"
            yield leak_of_function(KIND, Severity.WARNING, called, effect, _ADVICE)
