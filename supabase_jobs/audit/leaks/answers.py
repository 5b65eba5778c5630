"""Leaks of answers of views and functions: the strongest that is known about each of them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from supabase_jobs.audit.callers import ANON
from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.views import ViewTried
from supabase_jobs.audit.leaks.leak import Kind, Question, who
from supabase_jobs.findings import Severity

_Answer = TypeVar("_Answer", ViewTried, Called)

ABOUT_KNOWN = "read a number of rows that go with one they know by"
# what an answer says about rows, from the most to the least
_STRENGTH = ("shown", "identified", "derived", "existing", "counted")


def saying(answers: Sequence[_Answer], what: str) -> Iterator[_Answer]:
    """The answer that says this about rows to the most general caller, for each object of which no
    answer says more.
    """
    more = _STRENGTH[: _STRENGTH.index(what)]
    known = set[str]()
    for one in more:
        known |= {answer.object for answer in answers if tables(answer, one)}
    for answer in sorted(answers, key=lambda one: one.actor.rank):
        if tables(answer, what) and answer.object not in known:
            known.add(answer.object)
            yield answer


def question(kind: Kind, answer: _Answer, does: str, topic: str = "", about: str = "") -> Question:
    """One question about all views or functions by which a caller does something. `topic` names
    one with what else is to be said about it, `about` tells apart what one caller does.
    """
    by = "anyone" if answer.actor.kind == ANON else "signed-in users"
    return Question(
        kind=kind,
        severity=Severity.QUESTION,
        object=answer.object,
        message=f"{who(answer.actor)} {does} {{}}. Is that intended?",
        decides=f"{by}, {about}" if about else by,
        topics=(topic or answer.object,),
    )


def is_about_known(facts: Facts, called: Called) -> bool:
    """Whether a function takes ids of rows that its caller reads, such as of a page, or a text that
    says nothing about a person.
    """
    if called.function.about is None or called.given.is_general:
        return False
    return all(facts.reads_others_in(label, called.actor) for label in called.function.about)


def tables(answer: ViewTried | Called, what: str) -> Sequence[str]:
    """The tables of the rows about which an answer says this."""
    found: Sequence[str] = getattr(answer.said, what)
    return found
