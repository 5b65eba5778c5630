"""Functions that act as their owner and do not ask who calls them, although no call has shown what
they do: the rows may be in a state that the audit has not tried.
"""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import ANON
from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.calls import ANY_ROW, CHANGES, EACH_STATE, SECRETS, unasked
from supabase_jobs.audit.leaks.leak import Kind, Question, who
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-unasked",
    order=590,
    severities=(Severity.QUESTION,),
    sentence="A function runs as its owner on rows of others and does not ask who calls it.",
)

_ASKED = {
    SECRETS: (
        "read what looks like a secret by a call of {}, which does not ask who calls it. Is it"
        " theirs?"
    ),
    EACH_STATE: (
        "call {}, which take rows whatever the named columns say, unlike other code of the project."
        " Is that intended?"
    ),
    ANY_ROW: "call {} with a value that nothing ties to these rows. Is that intended?",
    CHANGES: (
        "call {}, which changes rows of others and does not ask who calls it. Is that intended?"
    ),
}


def find(facts: Facts) -> Iterator[Question]:
    """Questions about functions that the same callers may call: those that return a secret, those
    that take rows in each state, those that take a secret of another row, and those that change
    rows. Other kinds report what a call has shown.
    """
    for called, gets in unasked(facts):
        does, names = _ASKED[gets], _named(called, gets)
        yield _question(called, gets, does, names)


def _named(called: Called, gets: str) -> Sequence[str]:
    """The columns or tables that a question names."""
    if gets == SECRETS:
        return called.function.result.hands_out
    if gets == ANY_ROW:
        return called.function.guard.untied
    return called.unread if gets == EACH_STATE else called.touched


def _question(called: Called, about: str, does: str, names: Sequence[str]) -> Question:
    decides = "anyone" if called.actor.kind == ANON else "signed-in users"
    return Question(
        kind=KIND,
        severity=Severity.QUESTION,
        object=called.object,
        message=f"{who(called.actor)} {does}",
        decides=f"{decides}, {about}" if about else decides,
        topics=(f"{called.object} ({', '.join(names)})",),
    )
