"""Functions that act as their owner and do not ask who calls them, although no call has shown what
they do: the rows may be in a state that the audit has not tried.
"""

from collections.abc import Iterator

from supabase_jobs.audit.callers import ANON
from supabase_jobs.audit.leaks.calls import asked
from supabase_jobs.audit.leaks.facts import Called, Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, who
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-unasked",
    severities=(Severity.QUESTION,),
    sentence="A function runs as its owner on rows of others and does not ask who calls it.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for all functions that the same callers may call, and one for those that ask for
    a value that their caller knows. What a call has shown is told by the other kinds.
    """
    told = {called.function for called in facts.calls if _is_told(called)}
    seen = set[str]()
    for called in asked(facts):
        is_open = called.is_definer and not called.asks and not called.is_helper
        if not is_open or called.function in told | seen or not called.touched:
            continue
        if called.actor.is_outsider:
            seen.add(called.function)
            yield _question(called)


def _question(called: Called) -> Question:
    decides = "anyone" if called.actor.kind == ANON else "signed-in users"
    does = "call {}, which acts on rows of others and does not ask who calls it"
    ask = "Is that intended?"
    if called.secrets:
        decides += " with a secret"
        does = "call {}, which asks for a value and not who calls it"
        ask = "Is the value secret, and only that of its rows?"
    return Question(
        kind=KIND,
        severity=Severity.QUESTION,
        object=called.function,
        message=f"{who(called.actor)} {does}. {ask}",
        decides=decides,
        topics=(f"{called.function} ({', '.join(called.touched)})",),
    )


def _is_told(called: Called) -> bool:
    """Whether a call has reached rows of others, or told something about them."""
    said = (called.shown, called.identified, called.derived, called.existing, called.counted)
    done = (called.changed, called.recounted, called.forged, called.addressed, called.opened)
    return called.runs_sql or called.has_secret or any((*said, *done))
