"""Rows of a group that a former member still reads, or an invited person already."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import FORMER, INVITED, MEMBER, NEWCOMER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.attempts import reads_of_others
from supabase_jobs.audit.leaks.leak import Kind, Question, ShownLeak, question, shown, who
from supabase_jobs.audit.probes.attempt import DELETE, GROUP, INSERT, JOIN, OWN, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="former",
    order=40,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A former member still reads the rows of the group, or an invited person already.",
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each object that no more general outsider reads."""
    for label in facts.tables:
        yield from _returns(facts, label)
    for group in facts.objects.values():
        table = group[0].table
        reads = reads_of_others(group)
        if not table.rows.owned or not reads or not reads[0].actor.is_inactive:
            continue
        invitations = [read for read in reads if _is_invitation(facts, read)]
        read = next((one for one in reads if one not in invitations), reads[0])
        when = "already" if read.actor.kind == INVITED else "still"
        if read not in invitations:
            message = f"{who(read.actor)} {when} read the group's {table.noun}"
            yield shown(KIND, Severity.WARNING, read, message)
        elif not read.is_state:
            membership = read.actor.membership
            message = f"{who(read.actor)} {when} read rows of {{}}. Is that intended?"
            decides = membership.table if membership else ""
            yield question(KIND, read, decides, table.label, message)


def _returns(facts: Facts, label: str) -> Iterator[ShownLeak]:
    """A membership that others have ended, and that its user deletes and adds again."""
    tried = facts.of_table(label)
    joins = [t for t in tried if t.name == JOIN and t.reached and t.actor.kind == NEWCOMER]
    for one in tried:
        is_own = one.whose == OWN and one.action == DELETE and one.reached and not one.failed
        membership = one.actor.membership
        is_of_table = membership is not None and membership.table == label
        if not joins or not is_own or one.actor.kind != FORMER or not is_of_table:
            continue
        ends = [t for t in tried if t.action == UPDATE and t.column == one.actor.mark and t.reached]
        by_user = any(t.whose == OWN and t.actor.kind == MEMBER for t in ends)
        if not by_user and any(t.whose == GROUP for t in ends):
            message = (
                f"{who(one.actor)} delete the row that says so, and join again, although only"
                f" others set {one.actor.mark}"
            )
            yield shown(KIND, Severity.WARNING, one, message)
            return


def _is_invitation(facts: Facts, read: Tried) -> bool:
    """Whether an invited person reads to what the invitation is: the group and its members.

    Not if outsiders may ask to join, so that everybody reads that.
    """
    membership = read.actor.membership
    if read.actor.kind != INVITED or membership is None:
        return False
    if not read.table.rows.is_group and not read.table.rows.is_membership:
        return False
    return not any(
        t.action == INSERT and t.name == JOIN and t.reached and t.actor.is_outsider
        for t in facts.of_table(membership.table)
    )
