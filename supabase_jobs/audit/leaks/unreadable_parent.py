"""Rows of one's own that refer to a row of another which their writer cannot read."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.forged import inserts_of_outsiders
from supabase_jobs.audit.leaks.leak import Kind, Question, Repair, ShownLeak, question, shown, who
from supabase_jobs.audit.probes.attempt import JOIN
from supabase_jobs.findings import Severity

KIND = Kind(
    "unreadable-parent",
    (Severity.WARNING, Severity.QUESTION),
    "Users add rows of their own below rows of others that they cannot read.",
    repair=Repair.READABLE_PARENT,
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each object, if its policies look at the parent: who reads the parent reads the
    row. Otherwise one question for each parent.
    """
    for group in facts.objects.values():
        for tried in inserts_of_outsiders(group):
            parents = facts.unreadable_parents(tried) if tried.name == JOIN else []
            if not parents:
                continue
            parent = parents[0]
            if parent in tried.table.read_by_policies:
                message = (
                    f"{who(tried.actor)} add rows of their own below {parent} rows that they"
                    " cannot read"
                )
                yield shown(KIND, Severity.WARNING, tried, message)
            else:
                message = (
                    f"{who(tried.actor)} add rows to {{}} below rows of others in {parent} that"
                    " they cannot read. May they?"
                )
                yield question(KIND, tried, parent, tried.object, message)
            break
