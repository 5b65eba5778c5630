"""Rows of a group that a former member still reads."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import FORMER
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, ShownLeak, shown, who
from supabase_jobs.audit.leaks.read import reads_of_others
from supabase_jobs.findings import Severity

KIND = Kind("former", (Severity.WARNING,), "A former member still reads the rows of the group.")


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each object that no more general outsider reads."""
    for group in facts.objects.values():
        table = group[0].table
        reads = reads_of_others(group)
        if table.owned and reads and reads[0].actor.kind == FORMER:
            message = f"{who(reads[0].actor)} still read the group's {table.noun}"
            yield shown(KIND, Severity.WARNING, reads[0], message)
