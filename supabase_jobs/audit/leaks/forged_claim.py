"""Rows that only a claim or header opens which its caller chooses: those without an owner, and
those of one's own on which an action needs it.
"""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import ANON, FORGER, IMPOSTOR, NEWCOMER, STRANGER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import DOES, Kind, ShownLeak, shown, who
from supabase_jobs.audit.probes.attempt import INSERT, NONE, OWN
from supabase_jobs.findings import Severity

KIND = Kind(
    code="forged-claim",
    order=250,
    severities=(Severity.ERROR, Severity.WARNING),
    sentence="A claim or header that users choose opens rows, or an action on rows of their own.",
)


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each object and action."""
    for group in facts.objects.values():
        yield from _of_own(group)
        reached = [t for t in group if t.reached and t.whose == NONE]
        without = {
            (t.action, t.column) for t in reached if t.actor.kind in (ANON, NEWCOMER, STRANGER)
        }
        for tried in reached:
            is_chosen = tried.actor.kind in (FORGER, IMPOSTOR)
            if is_chosen and (tried.action, tried.column) not in without:
                message = f"{who(tried.actor)} {DOES[tried.action]} rows, which others cannot"
                yield shown(KIND, Severity.ERROR, tried, message)


def _of_own(group: Sequence[Tried]) -> Iterator[ShownLeak]:
    """Actions on rows of one's own that are refused to the same user without the claim."""
    refused = {_act(t) for t in group if t.actor.kind == STRANGER and not t.reached}
    refused -= {_act(t) for t in group if t.actor.kind == STRANGER and t.reached}
    for tried in group:
        is_own = tried.actor.kind == FORGER and tried.whose == OWN and tried.action != INSERT
        if is_own and tried.reached and not tried.failed and _act(tried) in refused:
            message = (
                f"{who(tried.actor)} {DOES[tried.action]} rows of their own, which they cannot"
                " without that"
            )
            yield shown(KIND, Severity.WARNING, tried, message)


def _act(tried: Tried) -> tuple[int, str, str, str]:
    return tried.row, tried.action, tried.column, tried.value
