"""Parts of rows, such as the versions of a document, that are readable although the row itself is
hidden in its state.

The evidence is the difference of rights of one caller: it reads another row of the same users, so
the state of the hidden one decides, and not who the caller is.
"""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import ANON, MEMBER, NEWCOMER, STRANGER
from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import (
    Kind,
    PolicyLeak,
    Question,
    ShownLeak,
    question,
    shown,
    who,
)
from supabase_jobs.audit.probes.attempt import GROUP, OTHER, SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    code="hidden-parent",
    order=100,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="Parts of a row are readable although its state hides the row.",
)
# people whose membership has ended, or who choose their claims, have findings of their own; the
# staff may read what belongs to drafts
_READERS = (ANON, NEWCOMER, STRANGER, MEMBER)


def find(facts: Facts) -> Iterator[ShownLeak | PolicyLeak | Question]:
    """One leak for each table and the table of the rows that it has parts of, by the most general
    caller.
    """
    for label, table in facts.tables.items():
        for parent in table.above.parts_of:
            if table.rls:
                reads = _reads(facts, label)
                leak = None if table.rows.is_membership else _first(facts, reads, parent)
                leak = leak or _of_unread(facts, reads, parent)
                if leak is not None:
                    yield leak


def _reads(facts: Facts, label: str) -> list[Tried]:
    """The reads of rows of others, by the most general caller first."""
    found = [
        tried
        for tried in facts.of_table(label)
        if tried.action == SELECT and tried.reached and tried.whose in (GROUP, OTHER)
        if tried.actor.kind in _READERS
    ]
    return sorted(found, key=lambda tried: tried.actor.rank)


def _first(
    facts: Facts, reads: Sequence[Tried], parent: str
) -> ShownLeak | PolicyLeak | Question | None:
    above = facts.tables[parent]
    for read in reads:
        for hidden, reached in facts.told_apart(read.actor, parent, SELECT):
            if not _is_state_of(read, hidden, parent):
                continue  # its own state may open it
            states = f"{hidden.object}, which is hidden from them, unlike {reached.object}"
            if hidden.row in read.on.part_of:
                of = hidden.on.state_of or reached.on.state_of or parent
                is_own_group = _is_of_group(facts, read.actor, of)
                return _shown(read, parent, states, is_certain=not is_own_group)
            is_own = {read.on.state_of, hidden.on.state_of, reached.on.state_of} <= {"", parent}
            # a group in another state is another group, of which the caller may be no member
            is_group = above.rows.is_group or bool(above.persons.identifying_claims)
            is_other = read.actor.kind == MEMBER and is_group
            if is_own and not is_other and parent not in read.table.policies.read_by_policies:
                return _by_policies(read, parent, states)
    return None


def _is_state_of(read: Tried, hidden: Tried, parent: str) -> bool:
    """Whether a row has no state but that of a row above it: of the hidden one, or of one above
    both.
    """
    if read.on.state_of in ("", parent):
        return True
    is_above = not any(column.is_own for column in read.conditions)
    return is_above and read.on.state_of == hidden.on.state_of and hidden.row in read.on.part_of


def _of_unread(facts: Facts, reads: Sequence[Tried], parent: str) -> Question | None:
    """A question about parts of rows of which a member reads none, and other users do."""
    others = {t.actor for t in facts.of_table(parent) if t.action == SELECT and t.reached}
    is_read = any(actor.kind == MEMBER for actor in others)
    for read in reads:
        membership = read.actor.membership
        is_fellow = membership is not None and membership.table == read.table.label
        above = [t for t in facts.of_actor(parent, read.actor) if t.action == SELECT]
        is_below = any(t.row in read.on.part_of for t in above)
        is_unread = is_below and not any(t.reached for t in above)
        is_of_member = read.actor.kind == MEMBER and read.whose == GROUP
        is_of_member = is_of_member and not facts.is_open(read)
        if is_read and is_unread and is_of_member and not is_fellow:
            return _asked(read, parent, f"{parent}, of which they can read none")
    return None


def _is_of_group(facts: Facts, actor: Actor, label: str) -> bool:
    """Whether a table has the group of which a caller is a member."""
    membership = actor.membership
    return membership is not None and label in facts.tables[membership.table].above.parents


def _shown(read: Tried, parent: str, states: str, *, is_certain: bool) -> ShownLeak | Question:
    if read.actor.kind == MEMBER and is_certain:
        message = f"{who(read.actor)} read what is a part of {states}"
        return shown(KIND, Severity.WARNING, read, message)
    return _asked(read, parent, states)


def _by_policies(read: Tried, parent: str, states: str) -> PolicyLeak | Question:
    """The policies ask nothing about the row above: who reads a part of one reads those of all."""
    if read.actor.kind != MEMBER:
        return _asked(read, parent, states)
    message = f"{who(read.actor)} read what is a part of {states}: its policies read no {parent}"
    return PolicyLeak(
        kind=KIND,
        severity=Severity.WARNING,
        object=read.table.label,
        message=message,
        action=SELECT,
        role=read.actor.role,
        policies=tuple(read.table.policies.selecting.get(read.actor.role, ())),
    )


def _asked(read: Tried, parent: str, states: str) -> Question:
    message = f"{who(read.actor)} read rows of {{}} that are parts of {states}. May they?"
    return question(KIND, read, parent, read.table.label, message)
