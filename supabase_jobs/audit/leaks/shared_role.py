"""Rows of others that users reach by a role: that of everybody who signs up, or of the staff."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import NEWCOMER
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, question
from supabase_jobs.audit.probes.attempt import OWN, SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    code="shared-role",
    severities=(Severity.QUESTION,),
    sentence="Users reach rows of others by a role, which everybody may have who signs up.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each role, about all tables that it opens."""
    deciding = [tried for tried in facts.tried if tried.decided_by and tried.reached]
    changing = {tried.decided_by for tried in deciding if tried.action != SELECT}
    for tried in deciding:
        verbs = "reads and changes" if tried.decided_by in changing else "reads"
        does = f"has {tried.decided_by}"
        if _is_given(facts, tried.decided_by):
            message = (
                f"Everybody who signs up {does}, and {verbs} rows of others in {{}}."
                " Is sign-up open to everyone?"
            )
        else:
            message = f"Whoever {does} {verbs} rows of others in {{}}. Is that intended?"
        yield question(KIND, tried, tried.decided_by, tried.table.label, message)


def _is_given(facts: Facts, role: str) -> bool:
    """Whether a user who has only signed up has the row with the role, or inserts it."""
    table = role.partition(".")[0]
    return any(
        tried.actor.kind == NEWCOMER and tried.whose == OWN and tried.table.name == table
        for tried in facts.tried
        if tried.action == SELECT or tried.reached
    )
