"""Leaks of answers of views and functions: the strongest that is known about each of them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from supabase_jobs.audit.leaks.facts import Answered, Called, ViewTried

_Answer = TypeVar("_Answer", ViewTried, Called)

# what an answer says about rows, from the most to the least
_STRENGTH = ("shown", "identified", "derived", "existing", "counted")


def saying(answers: Sequence[_Answer], what: str) -> Iterator[_Answer]:
    """The answers that say this about rows, of objects of which no answer says more; that of the
    most general caller first.
    """
    more = _STRENGTH[: _STRENGTH.index(what)]
    known = set[str]()
    for one in more:
        known |= {answer.object for answer in answers if tables(answer, one)}
    for answer in sorted(answers, key=lambda one: one.actor.rank):
        if tables(answer, what) and answer.object not in known:
            yield answer


def tables(answer: Answered, what: str) -> Sequence[str]:
    """The tables of the rows about which an answer says this."""
    found: Sequence[str] = getattr(answer, what)
    return found
