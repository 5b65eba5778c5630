"""Functions that subtract a number in the caller's own row, and add to it if it is negative."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, leak_of_function
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-negative",
    order=560,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A function adds to a number of its caller if it is called with a negative one.",
)

_ADVICE = "Refuse numbers that are not positive."


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function; a question about numbers that the tables let the caller change,
    too.
    """
    for called in asked(facts):
        guarded = [name for name in called.numbers.raised if name not in called.numbers.free]
        if called.numbers.raised and not guarded:
            does = "raise a number of their own by a negative one, by"
            yield question(
                KIND, called, does, f"{called.object} ({', '.join(called.numbers.free)})"
            )
        elif guarded:
            columns = ", ".join(guarded)
            effect = f"raise {columns} by a negative number, which the tables refuse"
            yield leak_of_function(KIND, Severity.WARNING, called, effect, _ADVICE)
