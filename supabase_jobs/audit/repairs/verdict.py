"""The effects of a tried repair, and how reports print them."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from textwrap import wrap

from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.attempt import (
    GROUP,
    NONE,
    OWN,
    SELECT,
    Attempt,
)
from supabase_jobs.audit.probes.bypass import Bypass
from supabase_jobs.audit.probes.topics import TopicAttempt
from supabase_jobs.audit.repairs.demand import Demand
from supabase_jobs.findings import (
    Cell,
    Left,
    as_comment,
)

WIDTH = 97  # of a line of a comment


_WHOSE = {OWN: "own rows", GROUP: "rows of the group", NONE: "rows"}


@dataclass(frozen=True)
class NamedCell:
    """A cell in words: the caller, and what it may do."""

    caller: str
    what: str

    def __str__(self) -> str:
        return f"{self.caller}: {self.what}"


@dataclass(frozen=True)
class Verdict:
    """The effects of a candidate. `closes` counts the cells that end, `takes` are those that should
    stay, and `opens` what was closed before. `is_open`: the leak is still there. `gives` counts the
    cells that policies permit and nobody had. `ends` are the uses of objects that nobody but the
    service is left with, and `alters` the answers that would be wrong. `unseen` are conditions of
    policies that it limits and by which nobody in the world passes, `leaves` the questions that a
    new policy leads to. `shows` are the problems that a leak has hidden: the same acts, told
    otherwise.
    """

    closes: int
    takes: tuple[NamedCell, ...] = ()
    opens: tuple[str, ...] = ()
    is_open: bool = False
    gives: int = 0
    ends: tuple[str, ...] = ()
    alters: tuple[NamedCell, ...] = ()
    unseen: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Whether it closes the leak, opens nothing, and is seen to take nothing."""
        lost = self.takes or self.ends or self.alters or self.unseen or self.leaves
        return not (lost or self.opens or self.is_open)

    @property
    def loss(self) -> tuple[int, ...]:
        """How much it takes: what nobody is left with counts most, then what somebody loses."""
        lost = self.ends, self.takes, self.alters, self.unseen, self.leaves
        return tuple(map(len, lost))


@dataclass(frozen=True)
class Proven:
    """The repair of a leak, as reports print it. Only a proven one is SQL, others are comments.
    `callers` are the labels of those that a comment names, `left` says why it is not proven.
    """

    text: str
    is_proven: bool = False
    demand: Demand | None = None
    callers: tuple[str, ...] = ()
    left: Left | None = None


NO_REPAIR = (
    "-- No statement was found that closes it and leaves the access of others as it is. Decide who"
    "\n-- should have this access, and change the cause above."
)


LATE = Proven(text="-- Not tried: the time of the audit is over.", left=Left.LATE)


def proof(verdict: Verdict) -> str:
    """The effects of a repair in words, and what it leaves."""
    if not verdict.shows:
        return _effects(verdict)
    sentence = f"{_effects(verdict)} It leaves: {'; '.join(verdict.shows)}."
    lines = wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n-- ".join(lines)


def _effects(verdict: Verdict) -> str:
    closed = "1 cell" if verdict.closes == 1 else f"{verdict.closes} cells"
    if not verdict.gives:
        return f"Tried: it closes {closed} and takes none."
    given = "1 cell" if verdict.gives == 1 else f"{verdict.gives} cells"
    return f"Tried: it gives {given} that policies permit, and opens and takes no other."


def question(text: str, verdict: Verdict) -> Proven:
    """The repair as a comment, with what it takes or leaves unknown."""
    takes = (*verdict.takes, *verdict.alters)
    named = takes[: LIMITS.named]
    shown = "; ".join(map(str, named))
    rest = len(takes) - LIMITS.named
    shown += f"; and {rest} more" if rest > 0 else ""
    sentence = f"Tried: it would take: {shown}. If that is intended, run:"
    if not takes:
        sentence = (
            f"Tried: nobody is left with: {'; '.join(verdict.ends)}. If nobody needs that, run:"
        )
    if not takes and verdict.leaves:
        sentence = f"Tried: it takes none, and leaves a question. {verdict.leaves[0]} If so, run:"
    elif not takes and not verdict.ends:
        unseen = "; ".join(verdict.unseen)
        sentence = (
            f"Not proven: no caller of the audit passes by {unseen}. If nobody needs that, run:"
        )
    lines = wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)
    callers = tuple(dict.fromkeys(cell.caller for cell in named))
    left = Left.TAKES if takes or verdict.ends else Left.UNKNOWN
    return Proven(text=as_comment("\n".join([*lines, text])), callers=callers, left=left)


def in_order(cells: Iterable[NamedCell]) -> tuple[NamedCell, ...]:
    """Each of some cells once, sorted."""
    return tuple(sorted(set(cells), key=str))


def cell_of(one: Attempt | Bypass) -> NamedCell:
    """A cell in words."""
    if isinstance(one, Bypass):
        return NamedCell(one.caller.label, f"{one.action} of {one.label}")
    whose = _WHOSE.get(one.whose, "rows of others")
    return NamedCell(one.caller.label, f"{one.does} of {whose} of {one.label}")


def key_of_topic(one: TopicAttempt) -> Hashable:
    """The cell of an attempt on a topic; equal in another trial."""
    return one.caller.label, one.topic, one.action, one.extension


def topic_cell(one: TopicAttempt) -> NamedCell:
    """An attempt on a topic in words."""
    does = "receive" if one.action == SELECT else "send"
    return NamedCell(one.caller.label, f"{does} on {one.topic.shown}")


def cell_in_words(cell: Cell) -> NamedCell:
    """An access of a baseline in words."""
    return NamedCell(str(cell.caller), f"{cell.permission} of {cell.object}")
