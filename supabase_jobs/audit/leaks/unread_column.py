"""Columns of a membership or of a link to rows of others that nothing reads: a time, which may be
its end; a flag or a role, which may limit what its user does.
"""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import CLAIM, MEMBER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts, UnreadColumn
from supabase_jobs.audit.leaks.leak import DOES, Kind, Question, TableColumn, question, who
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.one_table import OneTable
from supabase_jobs.audit.probes.attempt import DELETE, GROUP, INSERT, OWN, SELECT, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="unread-column",
    order=70,
    severities=(Severity.QUESTION,),
    sentence="A row opens rows of others, and nothing reads a column of it that may limit that.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each column, and one for all flags of other rows."""
    for column in facts.unread_columns:
        if column.is_time:
            yield from _of_time(facts, column)
        elif column.alike:
            yield from _of_alike(facts, column)
        else:
            yield from _of_right(facts, column)
    for one in facts.of_one_table:
        yield from _elsewhere(facts, one)
    if facts.unread_flags:
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=facts.unread_flags[0][0],
            message=(
                "Members read rows that they do not write, and no policy, function or view looks at"
                " their flags {}. Is none of them to hide or to limit something?"
            ),
            decides="flags",
            topics=tuple(TableColumn(label, name) for label, name in facts.unread_flags),
        )


def _of_time(facts: Facts, time: UnreadColumn) -> Iterator[Question]:
    for tried in _opened(facts, time, [SELECT]):
        message = (
            f"{time.table}.{time.column} may be over: no policy or function reads it, and a row"
            " opens {}. Is that intended?"
        )
        yield question(KIND, tried, f"{time.table}.{time.column}", tried.table.label, message)


def _of_right(facts: Facts, right: UnreadColumn) -> Iterator[Question]:
    """The writes of a member, or else the reads, whatever others have set in the column."""
    own = [tried for tried in facts.of_table(right.table) if _sets(right, tried)]
    is_set = any(not facts.manages(tried.actor, tried.table) for tried in own)
    if is_set and not right.is_of_user:
        return  # a preference
    unread = "which no policy of another table, function or view reads"
    if right.is_of_user:
        unread = "with whose values no policy or function compares it"
    writes = _opened(facts, right, [UPDATE, INSERT, DELETE])
    for tried in writes or _opened(facts, right, [SELECT]):
        does = f"{who(tried.actor)} {'write' if writes else DOES[SELECT]}"
        message = (
            f"{does} rows of {{}}, whatever {right.table}.{right.column} says, {unread}. Is that"
            " intended?"
        )
        yield question(KIND, tried, f"{right.table}.{right.column}", tried.table.label, message)


def _of_alike(facts: Facts, role: UnreadColumn) -> Iterator[Question]:
    """The writes of a member with one of the roles that nothing tells apart, or with the only one
    that nothing asks for.
    """
    column = f"{role.table}.{role.column}"
    why = f"nothing tells these values of {column} apart, unlike others"
    if len(role.alike) == 1:
        why = f"nothing asks for another value of {column} there, unlike elsewhere"
    for tried in _opened(facts, role, [UPDATE, INSERT, DELETE]):
        message = (
            f"Whoever is {' or '.join(role.alike)} can write rows of {{}}: {why}. Is that intended?"
        )
        yield question(KIND, tried, f"{role.table}.{role.column}", tried.table.label, message)


def _elsewhere(facts: Facts, one: OneTable) -> Iterator[Question]:
    """The writes of members, or of the staff, that the column limits elsewhere only."""
    writes = [
        t
        for t in facts.of_table(one.other)
        if t.action in (UPDATE, INSERT, DELETE) and t.reached and not t.failed
        if t.actor.kind in (MEMBER, CLAIM) and t.whose != OWN and not facts.is_open(t)
    ]
    writes.sort(key=lambda t: facts.rights[t.actor])
    callers = list(dict.fromkeys(t.actor.label for t in writes))
    if writes:
        message = (
            f"Each {' and '.join(callers[: LIMITS.named])} can write rows of {{}}, whatever"
            f" {one.table}.{one.column} says, with which policies of {one.compared} compare the"
            " row. Is that intended?"
        )
        yield question(KIND, writes[0], f"{one.table}.{one.column}", one.other, message)


def _opened(facts: Facts, column: UnreadColumn, actions: Sequence[str]) -> list[Tried]:
    """The actions on other tables that a row with the column opens to its user."""
    return [
        tried
        for group in facts.objects.values()
        for tried in group
        if tried.action in actions and tried.reached
        if tried.action == INSERT or not tried.failed  # the new row of an audit may lack something
        if _is_by_row(column, tried) and not _is_of_all(facts, column, tried)
    ]


def _is_by_row(column: UnreadColumn, tried: Tried) -> bool:
    """Whether it is a row of another table in the group of somebody who has such a row."""
    if tried.actor.kind != MEMBER or tried.whose != GROUP:
        return False
    membership = tried.actor.membership
    if column.is_of_user:
        is_colleague = membership is None and not (tried.actor.link or tried.actor.row_of)
        is_colleague &= not tried.actor.is_made
        is_elsewhere = tried.table.label != column.table and not tried.table.rows.per_user
        return is_elsewhere and (not column.alike or (is_colleague and not tried.deciding.in_group))
    if column.alike and (membership is None or membership.role not in column.alike):
        return False
    belongs = tried.actor.link if membership is None else membership.table
    return belongs == column.table != tried.table.label


def _is_of_all(facts: Facts, column: UnreadColumn, tried: Tried) -> bool:
    """Whether users without such a row do the same: outsiders, or the colleagues of a tenant who do
    not give such rows.
    """
    if column.is_of_user:
        return facts.is_open(tried)
    same = [
        t
        for t in facts.of_table(tried.table.label)
        if t.reached and (t.row, t.action) == (tried.row, tried.action)
        if t.actor.kind == MEMBER and t.actor.membership is None and not t.actor.link
    ]
    given = facts.tables[column.table]
    return facts.is_open(tried) or not all(facts.manages(t.actor, given) for t in same)


def _sets(right: UnreadColumn, tried: Tried) -> bool:
    """Whether a member sets the column in a row of their own."""
    is_own = tried.whose == OWN and tried.actor.kind == MEMBER and tried.reached
    return is_own and tried.action == UPDATE and tried.column == right.column
