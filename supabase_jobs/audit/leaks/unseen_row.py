"""Rows that fail to refuse access, because the caller cannot read them.

A policy tests NOT EXISTS, or a trigger without SECURITY DEFINER looks for a row, and both read with
the policies of the caller.
"""

from collections.abc import Iterator

from supabase_jobs.audit.callers import SERVICE
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.leaks.leak import Kind, Question, question, who
from supabase_jobs.audit.probes.attempt import INSERT, OWN, SELECT
from supabase_jobs.findings import Severity
from supabase_jobs.outcomes import HIDDEN

KIND = Kind(
    code="unseen-row",
    order=130,
    severities=(Severity.QUESTION,),
    sentence="A row refuses access only as long as its caller can read it.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each table with such rows, by the first caller who does not see one."""
    for table in facts.tables.values():
        for label in table.policies.absent:
            for reached in facts.of_table(table.label):
                if _is_of_others(reached) and _is_unseen(facts, reached, label):
                    yield _question(table, reached, label)
                    break


def _question(table: Table, reached: Tried, label: str) -> Question:
    message = (
        f"{who(reached.actor)} reach rows of {table.label}, which a row of {{}} is to refuse: one"
        " that they cannot read counts as absent. Is that intended?"
    )
    return question(KIND, reached, table.label, label, message)


def _is_of_others(tried: Tried) -> bool:
    """Whether a caller reaches a row of others, or adds one of its own, by policies."""
    is_new = tried.action == INSERT and not tried.failed
    return tried.reached and tried.actor.kind != SERVICE and (tried.whose != OWN or is_new)


def _is_unseen(facts: Facts, reached: Tried, label: str) -> bool:
    """Whether the caller cannot read some row of the table that refuses, of the same persons."""
    tried = [t for t in facts.of_actor(label, reached.actor) if t.action == SELECT]
    return any(t.outcome == HIDDEN and t.whose == reached.whose for t in tried)
