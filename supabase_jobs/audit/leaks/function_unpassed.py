"""Functions of which no call got through: nobody has seen what they do behind their guard."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.functions import Unpassed
from supabase_jobs.audit.leaks.calls import is_told, unasked
from supabase_jobs.audit.leaks.leak import Kind, Question
from supabase_jobs.audit.limits import LIMITS, some
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-unpassed",
    order=600,
    severities=(Severity.QUESTION,),
    sentence="Nobody got through the guard of a function that runs as its owner.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for who may call them, which says of each function what its guard asks for."""
    told = {called.object for called in facts.calls if is_told(called)}
    told |= {called.object for called, _ in unasked(facts)}
    for one in facts.unpassed:
        if one.function in told:
            continue
        who = "Anyone" if one.is_open else "Any signed-in user"
        message = (
            f"{who} can call {{}}. No call of the audit got through, so what they do was not seen."
            " Do they ask for all that they must?"
        )
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=one.function,
            message=message,
            decides="anyone" if one.is_open else "signed-in users",
            topics=(f"{one.function} ({_guard(one)})",),
        )


def _guard(one: Unpassed) -> str:
    """The columns that a function writes, asks for, and does not ask for."""
    parts = [("writes", one.changes), ("asks for", one.asks_for), ("not for", one.unread)]
    return "; ".join(f"{verb} {some(names, LIMITS.guarding)}" for verb, names in parts if names)
