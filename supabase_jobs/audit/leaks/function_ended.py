"""Functions that find a row by a secret, such as an invitation, and do not ask whether it has
ended.
"""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, leak_of_function
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-ended",
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A function does the same with the secret of a row that has ended.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, and one question about those that only show something."""
    known = {called.function for called in facts.calls if called.ended and called.writes}
    for called in asked(facts):
        if called.ended and called.writes:
            effect = f"use it with the secret of a row that has ended: {called.ended}"
            advice = f"Let {called.function} {called.remedy}"
            yield leak_of_function(KIND, Severity.WARNING, called, effect, advice)
        elif called.ended and called.function not in known:
            known.add(called.function)
            does = "read the same with the secret of a row that has ended by"
            yield question(KIND, called, does, f"{called.function} ({called.ended})")
