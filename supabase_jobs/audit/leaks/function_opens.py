"""Functions after whose call further rows are open to their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import INVITED
from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-opens",
    severities=(Severity.ERROR,),
    sentence="A call opens rows to its caller that the tables refused before.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each function."""
    for called in asked(facts):
        # who accepts an invitation is meant to gain access
        if called.opened and called.actor.kind != INVITED:
            yield leak(KIND, Severity.ERROR, called, "gain access to rows of others", called.opened)
