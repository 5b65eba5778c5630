"""Functions whose guard lets some outsiders pass with ids of others: they get an error of the data
where others are refused.
"""

from collections.abc import Iterator

from supabase_jobs.audit.callers import MEMBER, NEWCOMER, STRANGER
from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, is_refused, leak_of_function
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-guard",
    order=530,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="The guard of a function lets an outsider pass with ids of others.",
)
# of data: data exceptions, and violated constraints
_DATA = ("22", "23")
_UNKNOWN = "Compare with IS DISTINCT FROM: who has no role has NULL, of which <> is not true."


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One question about functions that let users with rows of their own pass, and one leak for
    each function that lets others pass, such as former members, or who was never one where a member
    is refused.
    """
    refused, told = _refused(facts), set[str]()
    for called in asked(facts):
        if called.object in told:
            continue
        guarded = refused.get((called.object, called.given.arguments), set())
        is_unlike = called.actor.is_outsider and MEMBER in guarded
        if called.function.guard.is_loose and is_unlike and _passes(called):
            told.add(called.object)
            effect = "pass its guard, which refuses members of the group with the same arguments"
            yield leak_of_function(KIND, Severity.WARNING, called, effect, _UNKNOWN)
            continue
        if called.bearer.across:
            does = "use the secret of a row of another group, although it asks for a membership, by"
            yield question(KIND, called, does, f"{called.object} ({called.bearer.across})")
        outsider = called.actor.is_outsider and called.actor.role != "anon"
        if not outsider or not called.given.names_others or not called.sqlstate.startswith(_DATA):
            continue
        if called.actor.kind == STRANGER and NEWCOMER in guarded:
            yield question(KIND, called, "pass, with ids of others, the guard of")
        elif called.actor.kind not in (STRANGER, NEWCOMER) and STRANGER in guarded:
            yield leak_of_function(
                KIND, Severity.WARNING, called, "pass its guard with ids of others"
            )


def _passes(called: Called) -> bool:
    """Whether a call has come behind the guard."""
    effects = called.effects
    return called.sqlstate.startswith(_DATA) or bool([*effects.changed, *effects.recounted])


def _refused(facts: Facts) -> dict[tuple[str, str], set[str]]:
    """Function and arguments → the kinds of callers whom its guard refuses."""
    found: dict[tuple[str, str], set[str]] = {}
    for called in facts.calls:
        if is_refused(called):
            found.setdefault((called.object, called.given.arguments), set()).add(called.actor.kind)
    return found
