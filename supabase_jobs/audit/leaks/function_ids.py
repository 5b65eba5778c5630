"""Functions that return ids of rows which the tables refuse to their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import saying
from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-ids",
    order=470,
    severities=(Severity.WARNING,),
    sentence="A function returns the ids of rows that the tables refuse to its caller.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, except helpers of policies: they return the group of a row for
    its id.
    """
    for called in saying(asked(facts), "identified"):
        if not called.function.is_helper:
            effect = "read the ids of others' rows"
            yield leak(KIND, Severity.WARNING, called, effect, called.said.identified)
