"""Rows of others that users reach by a role which everybody has who signs up."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, question
from supabase_jobs.audit.probes.attempt import SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    "shared-role",
    (Severity.QUESTION,),
    "Users reach rows of others by a role that everybody has who signs up.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each role, about all tables that it opens."""
    deciding = [tried for tried in facts.tried if tried.decided_by and tried.reached]
    changing = {tried.decided_by for tried in deciding if tried.action != SELECT}
    for tried in deciding:
        verbs = "reads and changes" if tried.decided_by in changing else "reads"
        message = (
            f"Everybody who signs up has {tried.decided_by}, and {verbs} rows of others in {{}}."
            " Is sign-up open to everyone?"
        )
        yield question(KIND, tried, tried.decided_by, tried.table.label, message)
