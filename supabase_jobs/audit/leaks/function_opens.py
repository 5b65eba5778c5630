"""Functions after whose call further rows are open to their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import INVITED
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind, Question, who
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-opens",
    order=580,
    severities=(Severity.ERROR, Severity.QUESTION),
    sentence="A call opens rows to its caller that the tables refused before.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, and one question about those by which somebody comes back with a
    code who has lost access.
    """
    known = set[str]()
    for called in asked(facts):
        # who accepts an invitation is meant to gain access
        if called.effects.opened and called.actor.kind != INVITED:
            known.add(called.object)
            yield leak(
                KIND, Severity.ERROR, called, "gain access to rows of others", called.effects.opened
            )
    for called in (*asked(facts), *facts.calls_of_staff):
        if called.bearer.regained and called.object not in known:
            known.add(called.object)
            message = f"{who(called.actor)}, without access to the group, come back with a code by"
            yield Question(
                kind=KIND,
                severity=Severity.QUESTION,
                object=called.object,
                message=f"{message} {{}}. Is that intended?",
                decides="who has lost access",
                topics=(called.object,),
            )
