"""Functions that run SQL of their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import MEMBER
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.calls import asked, leak_of_function
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-sql",
    order=440,
    severities=(Severity.ERROR, Severity.WARNING),
    sentence="A function runs an argument as SQL with the privileges of its owner.",
)

_ADVICE = "Pass values to EXECUTE with USING, and names by format('%I', …)."


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each function. Those with a role may be meant to run whole statements."""
    effect = "run SQL of their own with the privileges of the owner of the function"
    known = set[str]()
    for called in asked(facts):
        if called.injected.runs_sql:
            known.add(called.object)
            # who belongs to the group is meant to call the function
            advice = _ADVICE if called.actor.kind == MEMBER else ""
            yield leak_of_function(KIND, Severity.ERROR, called, effect, advice)
    for called in facts.calls_of_staff:
        runs_part = called.injected.runs_sql and not called.injected.runs_statement
        if runs_part and called.object not in known:
            known.add(called.object)
            yield leak_of_function(KIND, Severity.WARNING, called, effect, _ADVICE)
