"""The matrix in short: for each object and action, the widest group of callers that may do it."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import (
    ANON,
    CLAIM,
    FORMER,
    INVITED,
    MEMBER,
    NEWCOMER,
    OWNER,
    STRANGER,
    Persona,
)
from supabase_jobs.audit.leaks.leak import ShownLeak
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    FORGE,
    GROUP,
    INSERT,
    JOIN,
    NONE,
    OTHER,
    OWN,
    SELECT,
    UPDATE,
    Attempt,
)
from supabase_jobs.findings import AccessObject, AccessSummary

ACTIONS = (SELECT, INSERT, UPDATE, DELETE)


def summaries(attempts: Sequence[Attempt], leaks: Sequence[ShownLeak]) -> Iterator[AccessSummary]:
    """One summary for each object with an attempt."""
    of_objects: dict[AccessObject, list[Attempt]] = {}
    for attempt in attempts:
        of_objects.setdefault(attempt.target, []).append(attempt)
    for name, group in sorted(of_objects.items(), key=lambda one: str(one[0])):
        own = [leak for leak in leaks if leak.object == str(name)]
        marked = {leak.tried.action for leak in own if leak.severity.is_problem}
        yield AccessSummary(
            name, {action: _widest(group, action) for action in ACTIONS}, frozenset(marked)
        )


def _widest(attempts: Sequence[Attempt], action: str) -> str:
    reached = [a for a in attempts if a.action == action and a.reached]
    outside = {
        a.caller.kind for a in reached if a.whose in (OTHER, NONE) and a.name not in (JOIN, FORGE)
    }
    if ANON in outside:
        return "all"
    if outside & {NEWCOMER, STRANGER}:
        return "users"
    holders = _holders(reached)
    inside = [a for a in reached if not _is_one_of(a.caller, holders)]
    is_open = any(a.name == JOIN and a.caller.is_outsider for a in inside)
    own = [a for a in inside if _is_own(a, is_open)]
    others = [a for a in inside if a.whose == GROUP and not _is_own(a, is_open)]
    if any(a.caller.kind in (MEMBER, OWNER, INVITED, FORMER) for a in others):
        return "group"
    return "own" if own else "none"


def _is_own(attempt: Attempt, is_open: bool) -> bool:
    """Whether the row is the caller's own. If outsiders may add rows in their own name below those
    of a group (`is_open`), so is such a row of a member: the group does not decide.
    """
    return attempt.whose == OWN or (is_open and attempt.name == JOIN)


def _holders(reached: Sequence[Attempt]) -> list[Persona]:
    """The callers whose claim lets them reach rows of others too: it is not about own rows."""
    others = [a for a in reached if a.whose in (OTHER, GROUP) and a.name not in (JOIN, FORGE)]
    return list(dict.fromkeys(a.caller for a in others if a.caller.kind == CLAIM))


def _is_one_of(caller: Persona, holders: Sequence[Persona]) -> bool:
    """Whether a caller is one of these, or has a claim of theirs too."""
    return any(
        caller is one or (one.claim and caller.claim_at(one.claim) == one.claim_at(one.claim))
        for one in holders
    )
