"""Escalation: the rows that a permitted write opens to its caller, found by trying again behind it
what was refused.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from supabase_jobs.audit.callers import CLAIM, FORMER, INVITED, MEMBER, OWNER, Persona
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.attempt import (
    ACCEPT,
    ADD,
    BELOW,
    CHOOSE,
    DELETE,
    GROUP,
    INSERT,
    JOIN,
    NONE,
    OPEN,
    OWN,
    RESTORE,
    SELECT,
    START,
    UPDATE,
    Around,
    Attempt,
)
from supabase_jobs.audit.probes.record import Record
from supabase_jobs.audit.probes.writes import Effect
from supabase_jobs.audit.rows.plan import Plan, Post
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.outcomes import HIDDEN, VIOLATES
from supabase_jobs.session.action import Change


@dataclass(frozen=True, eq=False)
class Gain:
    """An access that a permitted write opened to its caller: to a row that it could not read,
    change or delete before.
    """

    write: Attempt
    row: Row
    action: str


class Escalation:
    """Finds the permitted writes that open other rows."""

    def __init__(self, plan: Plan, record: Record) -> None:
        self._plan, self._record = plan, record

    def gains(self, asked: Collection[tuple[int, str]] | None) -> list[Gain]:
        """Repeat what was hidden, after each permitted write that could change it; after those that
        are `asked` about, if not all are.
        """
        reads: list[tuple[Attempt, list[Attempt], Attempt]] = []
        writes: list[tuple[Attempt, Attempt, Attempt]] = []
        baseline: dict[int, list[Attempt]] = {}
        for attempt in self._record.attempts:
            if self._is_closed(attempt):
                baseline.setdefault(id(attempt.caller), []).append(attempt)
        for write in [a for a in self._record.attempts if self._may_open(a)]:
            if asked is not None and (write.relation.oid, write.action) not in asked:
                continue
            closed = [
                a
                for a in baseline.get(id(write.caller), ())
                if write.relation.oid in self._plan.usage.reads.get(a.relation.oid, ())
            ]
            hidden = [a for a in closed if a.action == SELECT]
            if hidden:
                reads.append((write, hidden, then_reads(write, [a.row for a in hidden])))
            changes = [a for a in closed if a.action in (UPDATE, DELETE)]
            writes += [(write, a, behind(write, a)) for a in changes]
        self._record.send_controls([r for _, _, r in reads] + [w for _, _, w in writes])
        gains: list[Gain] = []
        for write, hidden, repeated in reads:
            if repeated.reached:
                seen = repeated.answers[-1].rows[0]
                gains += [
                    Gain(write, a.row, SELECT) for a, now in zip(hidden, seen, strict=True) if now
                ]
        for write, closed_attempt, again in writes:
            if again.reached:
                gains.append(Gain(write, closed_attempt.row, closed_attempt.action))
        return self._of_requests([one for one in gains if not self._is_of_the_invitation(one)])

    def _of_requests(self, gains: Sequence[Gain]) -> list[Gain]:
        """Those whose write also passes if it names its row, as each request to the API does: then
        the policies for SELECT apply too, to the row as it was and as it becomes.
        """
        named = {id(one.write): named_write(one.write) for one in gains}
        self._record.send_controls([one for one in named.values() if not one.outcome])
        return [one for one in gains if named[id(one.write)].reached]

    def _is_closed(self, attempt: Attempt) -> bool:
        """Whether an attempt on another's row failed by a policy, so that a write could open it."""
        return (
            attempt.outcome in (HIDDEN, VIOLATES)
            and attempt.whose != OWN
            and attempt.action != INSERT
            and attempt.sent is not None
            and not attempt.is_state
        )

    def _may_open(self, attempt: Attempt) -> bool:
        """Whether an attempt was a permitted write that policies may depend on."""
        user = attempt.caller.user
        # who has a role by the row of a profile has it from the project
        is_appointed = attempt.caller.kind == MEMBER and user is not None and user.state is not None
        trusted = attempt.caller.kind in (OWNER, CLAIM) or is_appointed
        trusted = trusted and not self._is_role_of_own_post(attempt)
        if attempt.name == RESTORE:
            return attempt.reached and attempt.error is None
        if not attempt.reached or trusted or attempt.error is not None or attempt.is_state:
            return False
        if attempt.name == ACCEPT:
            return True
        if attempt.action == UPDATE:
            if attempt.caller.kind == INVITED and self._accepts(attempt):
                return False
            shared = attempt.whose == NONE and attempt.relation.oid in self._plan.opening
            return (
                attempt.whose == OWN or shared
            ) and attempt.column in self._plan.usage.mentions.words
        if attempt.action == INSERT:
            of_member = attempt.whose == OWN and attempt.caller.kind in (MEMBER, FORMER)
            if of_member and attempt.name == ADD:
                return False  # another person, to whom the caller gives a role
            is_state = attempt.name == START  # a question, whatever it opens
            return attempt.name in (JOIN, OPEN, BELOW, ADD, CHOOSE) or (of_member and not is_state)
        return attempt.action == DELETE and attempt.whose == OWN

    def _is_role_of_own_post(self, attempt: Attempt) -> bool:
        """Whether callers with any post of a table give themselves another role there: none of them
        has that right by the post.
        """
        column, post = attempt.column, _post_on(attempt.caller, attempt.relation)
        is_own = attempt.action == UPDATE and attempt.whose == OWN
        if post is None or not is_own or column not in post.values:
            return False
        tried = [a for a in self._record.attempts if a.relation is attempt.relation]
        holders = {id(a.caller) for a in tried if _post_on(a.caller, a.relation) is not None}
        changing = {
            id(a.caller)
            for a in tried
            if (a.action, a.whose, a.column) == (UPDATE, OWN, column) and a.reached
        }
        return self._plan.words.role_columns.matches(column) and holders <= changing

    def _accepts(self, attempt: Attempt) -> bool:
        """Whether an invited person accepts the membership or post, which they cannot have asked
        for.
        """
        mark = attempt.caller.ended
        if mark is None:
            return False
        is_own = attempt.relation is mark.relation and attempt.whose == OWN
        is_asked_for = any(
            a.action == INSERT and a.name == JOIN and a.reached and a.caller.is_outsider
            for a in self._record.attempts
            if a.relation is mark.relation
        )
        return is_own and attempt.column == mark.column and not is_asked_for

    def _is_of_the_invitation(self, gain: Gain) -> bool:
        """Whether a gain of who accepts an invitation is what members with its role may do."""
        user = gain.write.caller.user
        if gain.write.name != ACCEPT or user is None:
            return False
        return any(
            a.reached and a.action == gain.action and a.whose == GROUP
            for a in self._record.attempts
            if a.relation is gain.row.relation and a.caller.kind == MEMBER
            if a.caller.user is not None
            if (a.caller.user.membership, a.caller.user.role) == (user.membership, user.role)
            and not a.caller.user.in_both
        )


def _post_on(caller: Persona, relation: Relation) -> Post | None:
    """The post that a row of a table gives to a caller; None if it has ended or has not begun."""
    post = None if caller.user is None else caller.user.post
    is_valid = post is not None and post.relation is relation and caller.kind == CLAIM
    return post if is_valid else None


def named_write(write: Attempt) -> Attempt:
    """A write that finds its row by the columns that its caller may read, not by a cursor."""
    sent = write.sent
    if not isinstance(sent, Change) or sent.cursor is None:
        return write
    where = statements.readable_condition(write.row, write.caller.role)
    by_key = replace(sent, where=where, cursor=None)
    return replace(write, sent=by_key, outcome="", error=None, answers=())


def then_reads(write: Attempt, hidden: Sequence[Row]) -> Attempt:
    """A write, and behind it one query that looks for the rows that were hidden."""
    return Attempt(
        caller=write.caller,
        relation=write.relation,
        whose=write.whose,
        action=SELECT,
        row=write.row,
        sent=write.sent,
        around=Around(
            after=[statements.exists([(row, write.caller.role) for row in hidden])],
            effect=_any_true,
            others=[(write.relation, write.action), *((row.relation, SELECT) for row in hidden)],
        ),
    )


def behind(write: Attempt, attempt: Attempt) -> Attempt:
    """An attempt behind a write."""
    assert write.sent is not None  # noqa: S101  it reached its target
    return Attempt(
        caller=write.caller,
        relation=attempt.relation,
        whose=attempt.whose,
        action=attempt.action,
        row=attempt.row,
        sent=attempt.sent,
        column=attempt.column,
        around=Around(
            before=[write.sent.statement],
            after=attempt.around.after,
            effect=partial(_after_a_write, attempt.around.effect),
            others=[(write.relation, write.action)],
        ),
    )


def _after_a_write(effect: Effect | None, answers: Sequence[Any]) -> bool:
    """Whether an action reached its row after the write of the first statement, as without it."""
    return bool(effect(answers[1:]) if effect else answers[1].count)


def _any_true(answers: Sequence[object]) -> bool:
    return any(answers[-1].rows[0])  # type: ignore[attr-defined]
