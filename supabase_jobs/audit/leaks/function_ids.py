"""Functions that return ids of rows which the tables refuse to their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question, saying
from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-ids",
    order=470,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A function returns the ids of rows that the tables refuse to its caller.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, except helpers of policies: they return the group of a row for
    its id. Those that believe whose id they get return the rows of any person: a question.
    """
    for called in saying(asked(facts), "identified"):
        function = called.function
        if not function.is_helper:
            effect = "read the ids of others' rows"
            yield leak(KIND, Severity.WARNING, called, effect, called.said.identified)
        elif function.of_persons and not function.guard.asks:
            does = f"read the ids of {', '.join(called.said.identified)} rows of any person by"
            yield question(KIND, called, does)
