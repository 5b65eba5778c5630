"""Functions that add rows in the name of another user."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    "function-forges",
    (Severity.WARNING,),
    "A function adds rows in the name of another user.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each function. Members may act for each other."""
    for called in asked(facts):
        if called.forged and called.actor.is_outsider:
            effect = "add rows in the name of another user"
            yield leak(KIND, Severity.WARNING, called, effect, called.forged)
