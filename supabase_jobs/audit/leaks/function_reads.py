"""Functions that return rows which the tables refuse to their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import MEMBER
from supabase_jobs.audit.catalog import USERS
from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    "function-reads",
    (Severity.ERROR, Severity.WARNING),
    "A function returns rows that the tables refuse to its caller.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each function."""
    for called in asked(facts):
        if called.shown:
            # a group may show its members the addresses of the others
            is_of_group = list(called.shown) == [USERS] and called.actor.kind == MEMBER
            severity = Severity.WARNING if is_of_group else Severity.ERROR
            yield leak(KIND, severity, called, "read rows of others", called.shown)
