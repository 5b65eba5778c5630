"""Functions that act as their owner and do not ask who calls them, although no call has shown what
they do: the rows may be in a state that the audit has not tried.
"""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import ANON
from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.calls import asked, is_told
from supabase_jobs.audit.leaks.leak import Kind, Question, who
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-unasked",
    severities=(Severity.QUESTION,),
    sentence="A function runs as its owner on rows of others and does not ask who calls it.",
)


def find(facts: Facts) -> Iterator[Question]:
    """Questions about functions that the same callers may call: those that return a secret, those
    that take rows in each state, those that take a secret of another row, and those that change
    rows. Other kinds report what a call has shown.
    """
    told = {called.object for called in facts.calls if is_told(called)}
    seen = set[str]()
    for called in asked(facts):
        function = called.function
        is_open = function.is_definer and not function.guard.asks and not function.is_helper
        if not is_open or called.object in told | seen or not called.touched:
            continue
        if called.actor.is_outsider:
            seen.add(called.object)
            yield from _questions(called)


def _questions(called: Called) -> Iterator[Question]:
    function = called.function
    if function.result.hands_out and not function.guard.secrets:
        does = "read what looks like a secret by a call of {}, which does not ask who calls it."
        yield _question(called, "secrets", f"{does} Is it theirs?", function.result.hands_out)
    if called.unread:
        does = "call {}, which take rows whatever the named columns say, unlike other code of the"
        yield _question(called, "each state", f"{does} project. Is that intended?", called.unread)
    elif function.guard.untied:
        does = "call {} with a value that nothing ties to these rows. Is that intended?"
        yield _question(called, "any row", does, function.guard.untied)
    elif function.changes.alters and not function.guard.secrets:
        does = "call {}, which changes rows of others and does not ask who calls it."
        yield _question(called, "", f"{does} Is that intended?", called.touched)


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
