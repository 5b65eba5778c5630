"""Rows of one's own that refer to a row of another which their writer cannot read."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.forged import inserts_of_outsiders
from supabase_jobs.audit.leaks.leak import Kind, Repair, ShownLeak, shown, who
from supabase_jobs.audit.probes.attempt import JOIN
from supabase_jobs.findings import Severity

KIND = Kind(
    "unreadable-parent",
    (Severity.INFO,),
    "Users add rows of their own below rows of others that they cannot read.",
    repair=Repair.READABLE_PARENT,
)


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each object."""
    for group in facts.objects.values():
        for tried in inserts_of_outsiders(group):
            if tried.name == JOIN and (parents := facts.unreadable_parents(tried)):
                message = (
                    f"{who(tried.actor)} add rows of their own below {parents[0]} rows that they"
                    " cannot read"
                )
                yield shown(KIND, Severity.INFO, tried, message)
                break
