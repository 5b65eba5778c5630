"""Functions that find a row by a secret, such as an invitation, and do not ask whether it has
ended.
"""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.calls import asked, leak_of_function
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-ended",
    severities=(Severity.WARNING,),
    sentence="A function does the same with the secret of a row that has ended.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each function."""
    for called in asked(facts):
        if called.ended:
            effect = f"use it with the secret of a row that has ended: {called.ended}"
            advice = f"Let {called.function} {called.remedy}"
            yield leak_of_function(KIND, Severity.WARNING, called, effect, advice)
