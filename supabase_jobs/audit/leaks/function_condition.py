"""Functions that read a table for the callers of a policy, or with a secret, and leave out what the
policy asks for.
"""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-condition",
    severities=(Severity.QUESTION,),
    sentence="A function shows rows without a condition that a policy of their table has.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each function and policy."""
    for one in facts.left_out:
        table, _, _ = one.column.rpartition(".")
        rows = "below the one whose secret it gets " if one.is_below else ""
        message = (
            f"{one.function} reads rows of {table} {rows}without asking for {{}}, which policy"
            f' "{one.policy}" tests. Is that intended?'
        )
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=one.function,
            message=message,
            decides=f"{one.function}:{one.policy}",
            topics=(one.column,),
        )
