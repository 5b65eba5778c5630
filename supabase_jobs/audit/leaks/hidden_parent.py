"""Parts of rows, such as the versions of a document, that are readable although the row itself is
hidden in its state.

The evidence is the difference of rights of one caller: it reads another row of the same users, so
the state of the hidden one decides, and not who the caller is.
"""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import ANON, MEMBER, NEWCOMER, STRANGER
from supabase_jobs.audit.leaks.facts import Facts, Tried
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
        for parent in table.parts_of:
            if table.rls and not table.is_membership:
                leak = _first(facts, _reads(facts, label), parent)
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
    for read in reads:
        if read.state_of not in ("", parent):
            continue  # which may open it
        for hidden, reached in facts.told_apart(read.actor, parent, SELECT):
            states = f"{hidden.object}, which is hidden from them, unlike {reached.object}"
            if hidden.row in read.part_of:
                return _shown(read, parent, states)
            is_own = {hidden.state_of, reached.state_of} <= {"", parent}
            # a group in another state is another group, of which the caller may be no member
            is_other = read.actor.kind == MEMBER and facts.tables[parent].is_group
            if is_own and not is_other and parent not in read.table.read_by_policies:
                return _by_policies(read, parent, states)
    return None


def _shown(read: Tried, parent: str, states: str) -> ShownLeak | Question:
    if read.actor.kind == MEMBER:
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
        policies=tuple(read.table.selecting.get(read.actor.role, ())),
    )


def _asked(read: Tried, parent: str, states: str) -> Question:
    message = f"{who(read.actor)} read rows of {{}} that are parts of {states}. May they?"
    return question(KIND, read, parent, read.table.label, message)
