"""Functions that return rows to a role to which the table refuses them, but not to others; that
change rows of others for a role which may only change its own; or that add rows where only others
may add some.
"""

from collections.abc import Iterator

from supabase_jobs.audit.callers import (
    ANON,
    CLAIM,
    LAPSED,
    MEMBER,
    NEWCOMER,
    OWNER,
    STRANGER,
)
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.calls import asked, is_told
from supabase_jobs.audit.leaks.leak import Kind, Question, who
from supabase_jobs.audit.probes.attempt import DELETE, FORGE, INSERT, JOIN, OWN, SELECT, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="function-role",
    order=460,
    severities=(Severity.QUESTION,),
    sentence="A function returns rows to a role for which the table has no policy, but to others.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each function, one for each that changes rows of others for a caller who may
    only change their own, and one about those that add rows.
    """
    yield from _writes(facts)
    yield from _adds(facts)
    lapsed = {standing.label for standing in facts.standings}
    for called in facts.calls_of_staff:
        if called.actor.kind == LAPSED or called.actor.label in lapsed:
            continue
        if any(c.object == called.object and c.said.shown for c in facts.calls):
            continue  # others read as much by it
        for table in called.said.shown:
            if _is_refused(facts, called, table):
                message = f"{_who(called)} read rows of {{}} by {called.object},"
                yield Question(
                    kind=KIND,
                    severity=Severity.QUESTION,
                    object=called.object,
                    message=f"{message} which its policies let other roles read. Is that intended?",
                    decides=called.object,
                    topics=(table,),
                )


def _writes(facts: Facts) -> Iterator[Question]:
    told = {called.object for called in facts.calls if called.effects.changed}
    for called in facts.calls_of_staff:
        tables = [table for table in called.effects.changed if _changes_own(facts, called, table)]
        if called.actor.kind != CLAIM or not tables or called.object in told:
            continue
        told.add(called.object)
        message = f"{_who(called)} change rows of others in {{}} by {called.object}, where policies"
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=called.object,
            message=f"{message} let them change their own. Is that intended?",
            decides=f"{called.object}:rows of others",
            topics=tuple(tables),
        )


def _adds(facts: Facts) -> Iterator[Question]:
    """The functions that add rows to a table for an outsider, to which persons with a role or rows
    above add some by themselves, and no outsider. What else they do to rows of others is told.
    """
    told = {called.object for called in facts.calls if is_told(called)}
    for called in asked(facts):
        tables = [table for table in called.effects.added if _is_for_others(facts, table)]
        if tables and called.actor.is_outsider and called.object not in told:
            told.add(called.object)
            does = "add rows, which the tables let others add and not them, by"
            yield question(KIND, called, does, f"{called.object} ({', '.join(tables)})", "new rows")


def _is_for_others(facts: Facts, table: str) -> bool:
    """Whether others than outsiders and the backend add rows to a table."""
    added = [t for t in facts.of_table(table) if t.action == INSERT and t.reached]
    kinds = {t.actor.kind for t in added if t.name not in (JOIN, FORGE)}
    return bool(kinds & {CLAIM, MEMBER, OWNER}) and not kinds & {ANON, NEWCOMER, STRANGER}


def _changes_own(facts: Facts, called: Called, table: str) -> bool:
    """Whether a table lets a caller change its own rows only, by its role: who has no role does not
    change even these.
    """
    reached = [one for one in facts.of_table(table) if one.reached]
    changed = [one for one in reached if one.action in (UPDATE, DELETE)]
    whose = {one.whose for one in changed if one.actor is called.actor}
    return whose == {OWN} and not any(
        one.actor.kind == STRANGER and one.whose == OWN for one in changed
    )


def _is_refused(facts: Facts, called: Called, table: str) -> bool:
    """Whether a table lets others with a role read its rows, but not this caller."""
    tried = [one for one in facts.of_table(table) if one.action == SELECT and one.reached]
    if any(one.actor is called.actor and one.whose != OWN for one in tried):
        return False
    return any(_is_peer(called, one) for one in tried if one.whose != OWN)


def _is_peer(called: Called, tried: Tried) -> bool:
    """Whether somebody with a role has tried something, who may be compared with a caller: one of
    the same kind, one with another value of the same claim, or anybody for a caller who is named in
    a row.
    """
    actor, other = called.actor, tried.actor
    if called.given.named:
        return other.kind in (CLAIM, MEMBER) and not other.is_linked
    if actor.claim:
        return other.claim == actor.claim
    return bool(actor.row_of) and other.row_of == actor.row_of


def _who(called: Called) -> str:
    named = called.given.named
    return f"A user whom {named} names can" if named else who(called.actor)
