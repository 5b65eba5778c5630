"""Functions that return rows to a role to which the table refuses them, but not to others."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import CLAIM
from supabase_jobs.audit.leaks.facts import Called, Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, who
from supabase_jobs.audit.probes.attempt import OWN, SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-role",
    severities=(Severity.QUESTION,),
    sentence="A function returns rows to a role for which the table has no policy, but to others.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each function."""
    lapsed = {standing.label for standing in facts.standings}
    for called in facts.calls_of_staff:
        if called.actor.kind != CLAIM or called.actor.label in lapsed:
            continue
        if any(c.function == called.function and c.shown for c in facts.calls):
            continue  # others read as much by it
        for table in called.shown:
            if _is_refused(facts, called, table):
                message = f"{who(called.actor)} read rows of {{}} by {called.function},"
                yield Question(
                    kind=KIND,
                    severity=Severity.QUESTION,
                    object=called.function,
                    message=f"{message} which its policies let other roles read. Is that intended?",
                    decides=called.function,
                    topics=(table,),
                )


def _is_refused(facts: Facts, called: Called, table: str) -> bool:
    """Whether a table lets others with a role of the same kind read its rows, but not this one."""
    kind, _, _ = called.actor.label.partition(": ")
    reads: dict[str, bool] = {}
    for tried in facts.of_table(table):
        label = tried.actor.label
        if tried.action == SELECT and tried.whose != OWN and label.startswith(f"{kind}: "):
            reads[label] = reads.get(label, False) or tried.reached
    return not reads.pop(called.actor.label, True) and any(reads.values())
