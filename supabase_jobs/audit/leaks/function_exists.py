"""Functions whose result tells whether others have rows, or how many."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.answers import question, saying
from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-exists",
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A function tells whether others have rows, or how many.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, one question about the helpers of policies, and one about the
    numbers of all rows. A member may know those of its group.
    """
    changing = {called.function for called in facts.calls if called.changed or called.opened}
    for called in saying(asked(facts), "existing"):
        if not called.actor.is_outsider or called.function in changing:
            continue
        if called.is_helper:
            yield question(KIND, called, "find out by an id whether others have rows by")
        else:
            effect = "find out by an id whether others have rows, or how many"
            yield leak(KIND, Severity.WARNING, called, effect, called.existing)
    for called in saying(asked(facts), "counted"):
        if called.actor.is_outsider:
            yield question(KIND, called, "read a number about all rows by")
