"""Functions that add to a number of their caller each time, for one row that they mark as used."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-repeated",
    severities=(Severity.QUESTION,),
    sentence="A function adds to a number of its caller again for a row that it has marked.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question about all functions."""
    known = set[str]()
    for called in asked(facts):
        if called.repeated and called.function not in known:
            known.add(called.function)
            does = "raise a number of their own again, for a row that the first call has marked, by"
            topic = f"{called.function} ({', '.join(called.repeated)})"
            yield question(KIND, called, does, topic)
