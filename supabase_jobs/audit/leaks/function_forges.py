"""Functions that add rows in the name of another user."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, leak
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-forges",
    order=520,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A function adds rows in the name of another user.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, and one question about those whose rows may be for a receiver,
    such as notifications, and one about those that make members of a group. Members may act for
    each other.
    """
    known = {called.object for called in facts.calls if called.effects.forged}
    for called in asked(facts):
        if not called.actor.is_outsider:
            continue
        if called.effects.forged:
            effect = "add rows in the name of another user"
            yield leak(KIND, Severity.WARNING, called, effect, called.effects.forged)
        elif called.effects.joined and called.object not in known:
            known.add(called.object)
            yield question(KIND, called, "add a member to a group of others by", about="members")
        elif called.effects.addressed and called.object not in known:
            known.add(called.object)
            yield question(KIND, called, "add rows that name another user by")
