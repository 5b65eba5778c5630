"""Functions that return rows to a role to which the table refuses them, but not to others."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import CLAIM, LAPSED, MEMBER
from supabase_jobs.audit.leaks.facts import Called, Facts, Tried
from supabase_jobs.audit.leaks.leak import Kind, Question, who
from supabase_jobs.audit.probes.attempt import OWN, SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-role",
    severities=(Severity.QUESTION,),
    sentence="A function returns rows to a role for which the table has no policy, but to others.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each function."""
    lapsed = {standing.label for standing in facts.standings}
    for called in facts.calls_of_staff:
        if called.actor.kind == LAPSED or called.actor.label in lapsed:
            continue
        if any(c.function == called.function and c.shown for c in facts.calls):
            continue  # others read as much by it
        for table in called.shown:
            if _is_refused(facts, called, table):
                message = f"{_who(called)} read rows of {{}} by {called.function},"
                yield Question(
                    kind=KIND,
                    severity=Severity.QUESTION,
                    object=called.function,
                    message=f"{message} which its policies let other roles read. Is that intended?",
                    decides=called.function,
                    topics=(table,),
                )


def _is_refused(facts: Facts, called: Called, table: str) -> bool:
    """Whether a table lets others with a role read its rows, but not this caller."""
    tried = [one for one in facts.of_table(table) if one.action == SELECT and one.reached]
    if any(one.actor is called.actor and one.whose != OWN for one in tried):
        return False
    return any(_is_peer(called, one) for one in tried if one.whose != OWN)


def _is_peer(called: Called, tried: Tried) -> bool:
    """Whether somebody with a role has tried something, who may be compared with a caller: one of
    the same kind, one with another value of the same claim, or anybody for a caller who is named in
    a row.
    """
    actor, other = called.actor, tried.actor
    if called.named:
        return other.kind in (CLAIM, MEMBER) and not other.is_linked
    if actor.claim:
        return other.claim == actor.claim
    kind, _, _ = actor.label.partition(": ")
    return other.label.startswith(f"{kind}: ")


def _who(called: Called) -> str:
    return f"A user whom {called.named} names can" if called.named else who(called.actor)
