"""Functions that find a row by a secret, such as an invitation, or one of their caller, and do not
ask whether it has ended.
"""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, leak_of_function
from supabase_jobs.audit.leaks.facts import Called, Facts
from supabase_jobs.audit.leaks.leak import AnyLeak, Kind, Question, who
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-ended",
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A function does the same with a row that has ended, or with its secret.",
)


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each function, and one question about those that only show something. What may
    be done with an ended row of one's own is a question, too.
    """
    known = {c.function for c in facts.calls if c.ended and c.writes and not c.ended_column}
    for called in asked(facts):
        if called.ended_column:
            yield _of_own_row(called)
        elif called.ended and called.writes:
            effect = f"use it with the secret of a row that has ended: {called.ended}"
            advice = f"Let {called.function} {called.remedy}"
            yield leak_of_function(KIND, Severity.WARNING, called, effect, advice)
        elif called.ended and called.function not in known:
            known.add(called.function)
            does = "read the same with the secret of a row that has ended by"
            yield question(KIND, called, does, f"{called.function} ({called.ended})")


def _of_own_row(called: Called) -> Question:
    message = f"{who(called.actor)} do the same with a row of their own that has ended by {{}}."
    return Question(
        kind=KIND,
        severity=Severity.QUESTION,
        object=called.function,
        message=f"{message} Is that intended?",
        decides="rows of one's own",
        topics=(f"{called.function} ({called.ended_column})",),
    )
