"""Rows that members delete, although a time in them hides them from the same members as if they
were deleted, and others still read them: the trash of a project.
"""

from collections.abc import Iterator

from supabase_jobs.audit.callers import MEMBER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, question, who
from supabase_jobs.audit.probes.attempt import DELETE, GROUP, SELECT
from supabase_jobs.findings import Holds, Severity

KIND = Kind(
    code="purged-row",
    order=350,
    severities=(Severity.QUESTION,),
    sentence="Members delete rows of their group that a time in them only hides.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each name of such a time, about all tables that have it."""
    for label in facts.objects:
        for tried in facts.objects[label]:
            is_delete = tried.action == DELETE and tried.reached and not tried.name
            if not is_delete or tried.actor.kind != MEMBER or tried.whose != GROUP:
                continue
            name = "" if tried.is_state else _hiding(facts, tried)
            if name:
                message = (
                    f"{who(tried.actor)} delete rows of {{}} for good, although {name} hides a row"
                    " from them that others in the group still read. May they?"
                )
                yield question(KIND, tried, name, label, message)
                break


def _hiding(facts: Facts, delete: Tried) -> str:
    """The time that hides the row from the caller as long as it is set, and not from others."""
    for hidden, _ in facts.told_apart(delete.actor, delete.table.label, SELECT):
        times = [
            column.name
            for column in hidden.conditions
            if column.holds is Holds.SET and column.is_own
        ]
        readers = (t for t in facts.reads_of(hidden.row) if t.reached and t.whose == GROUP)
        if times and any(readers):
            return times[0]
    return ""
