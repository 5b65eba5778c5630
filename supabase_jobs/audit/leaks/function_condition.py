"""Functions that read a table for the callers of a policy, or with a secret, and leave out what the
policy asks for; or what they ask for themselves, of rows below the first ones.
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
        tests = f'policy "{one.policy}" tests' if one.policy else "it tests of the first rows only"
        message = (
            f"{one.function} reads rows of {table} {rows}without asking for {{}}, which {tests}."
            " Is that intended?"
        )
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=one.function,
            message=message,
            decides=f"{one.function}:{one.policy or 'below'}",
            topics=(one.column,),
        )
