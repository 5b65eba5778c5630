"""Functions that add to a number of their caller, or add rows with numbers, each time, for what
they mark as used: in one row, or by a row that they add once.
"""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked
from supabase_jobs.audit.leaks.leak import Kind, Question
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-repeated",
    order=570,
    severities=(Severity.QUESTION,),
    sentence="A function adds to a number, or a row with one, again for what it has marked.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question about all functions."""
    known = set[str]()
    for called in asked(facts):
        again = [*called.numbers.repeated, *called.numbers.added_again]
        if again and called.object not in known:
            known.add(called.object)
            does = (
                "raise a number of their own, or add rows with one, again, for what the first"
                " call has marked, by"
            )
            yield question(KIND, called, does, f"{called.object} ({', '.join(again)})")
