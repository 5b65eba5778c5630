"""Secrets in the rows of a group, which members without its strongest role read."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import MEMBER
from supabase_jobs.audit.leaks.facts import Facts, Tried
from supabase_jobs.audit.leaks.leak import Kind, Question, question, who
from supabase_jobs.audit.probes.attempt import GROUP, SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    "secret-column",
    (Severity.QUESTION,),
    "Members without the strongest role of their group read its secrets.",
)


def find(facts: Facts) -> Iterator[Question]:
    """A question for each column, one for all columns that the members of a table read."""
    for group in facts.objects.values():
        for tried in group:
            membership = tried.actor.membership
            if membership is None or not _reads(tried) or tried.is_state:
                continue
            if membership.role is not None and membership.role == membership.strongest:
                continue
            if tried.table.is_storage:  # its columns are those of the platform
                continue
            for name in facts.sensitive_columns(tried.table, tried.actor.role):
                if facts.words.unknown_values.matches(name):
                    message = f"{who(tried.actor)} read {{}} of their group. Is that intended?"
                    topic = f"{tried.table.label}.{name}"
                    yield question(KIND, tried, membership.table, topic, message)


def _reads(tried: Tried) -> bool:
    """Whether a member reads a row of the group."""
    is_member = tried.actor.kind == MEMBER and tried.whose == GROUP
    return is_member and tried.action == SELECT and tried.reached
