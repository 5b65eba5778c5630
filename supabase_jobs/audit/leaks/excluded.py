"""Rows that somebody still reads or writes whom a row excludes, such as that of a block."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question
from supabase_jobs.audit.limits import some
from supabase_jobs.findings import Severity

KIND = Kind(
    code="excluded",
    order=60,
    severities=(Severity.QUESTION,),
    sentence="Whom a row excludes from some tables still reaches others.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each table whose rows exclude."""
    for one in facts.exclusions:
        closed = some(one.closed)
        message = f"Whom {one.table} names, who cannot {closed}, still can {{}}. Intended?"
        for act in one.open:
            yield Question(
                kind=KIND,
                severity=Severity.QUESTION,
                object=one.table,
                message=message,
                decides=one.table,
                topics=(act,),
            )
