"""Functions that find a row by a secret, such as an invitation, or one of their caller, and do not
ask whether it has ended.
"""

from collections.abc import Iterator

from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, leak_of_function
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind, Question, who
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-ended",
    order=550,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A function does the same with a row that has ended, or with its secret.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, and one question about those that only show something. What may
    be done with an ended row of one's own is a question, too.
    """
    known = {called.object for called in facts.calls if _is_leak(called)}
    for called in asked(facts):
        if called.ending.is_own and {*called.function.changes.sets} == {called.ending.ended_column}:
            continue  # what has ended is ended again
        elif called.ending.is_own and called.ending.ended:
            yield _of_own_row(called)
        elif _is_leak(called):
            effect = f"use it with the secret of a row that has ended: {called.ending.ended}"
            advice = f"Let {called.object} {called.ending.remedy}"
            yield leak_of_function(KIND, Severity.WARNING, called, effect, advice)
        elif called.ending.ended and called.object not in known:
            known.add(called.object)
            does = "do the same with the secret of a row that has ended by"
            yield question(KIND, called, does, f"{called.object} ({called.ending.ended})")


def _is_leak(called: Called) -> bool:
    """Whether a call writes with the secret of a row that has ended. What depends on a row above it
    is a question.
    """
    is_of_secret = bool(called.ending.ended) and not called.ending.is_own
    return is_of_secret and called.ending.writes and not called.ending.is_of_above


def _of_own_row(called: Called) -> Question:
    message = f"{who(called.actor)} do the same with a row of their own that has ended by {{}}."
    return Question(
        kind=KIND,
        severity=Severity.QUESTION,
        object=called.object,
        message=f"{message} Is that intended?",
        decides="rows of one's own",
        topics=(f"{called.object} ({called.ending.ended_column})",),
    )
