"""Rows without an owner that only a claim or header opens which its caller chooses."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import ANON, FORGER, IMPOSTOR, NEWCOMER, STRANGER
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import DOES, Kind, Repair, ShownLeak, shown, who
from supabase_jobs.audit.probes.attempt import NONE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="forged-claim",
    severities=(Severity.ERROR,),
    sentence="A claim or header that users choose themselves opens rows that belong to nobody.",
    repair=Repair.APP_METADATA,
)


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each object and action."""
    for group in facts.objects.values():
        reached = [t for t in group if t.reached and t.whose == NONE]
        without = {
            (t.action, t.column) for t in reached if t.actor.kind in (ANON, NEWCOMER, STRANGER)
        }
        for tried in reached:
            is_chosen = tried.actor.kind in (FORGER, IMPOSTOR)
            if is_chosen and (tried.action, tried.column) not in without:
                message = f"{who(tried.actor)} {DOES[tried.action]} rows, which others cannot"
                yield shown(KIND, Severity.ERROR, tried, message)
