"""Rows of one's own that name another person, who may be an assignee, a receiver or a witness."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, question
from supabase_jobs.audit.probes.attempt import FORGE, INSERT, NAME
from supabase_jobs.findings import Severity

KIND = Kind("named-person", (Severity.QUESTION,), "Users add rows that name another person.")


def find(facts: Facts) -> Iterator[Question]:
    """One question for each table, about all of its columns; none if the row may be forged."""
    for label, group in facts.objects.items():
        if any(t.action == INSERT and t.name == FORGE and t.reached for t in group):
            continue
        for tried in group:
            if tried.name == NAME and tried.reached and not tried.failed:
                message = (
                    f"Any signed-in user can name any other person in {{}} of new rows in {label}."
                    " May they?"
                )
                yield question(KIND, tried, label, tried.column, message)
