"""Permitted writes that open further access to their caller.

Who gives roles to others in a group, or joins a part of their own tenant that they can see, uses a
right that the project gave them: a question.
"""

from collections.abc import Iterator, Mapping, Sequence

from supabase_jobs.audit.callers import MEMBER, SERVICE
from supabase_jobs.audit.facts.attempts import Opened, Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import (
    DOES,
    Kind,
    Question,
    Repair,
    ShownLeak,
    question,
    shown,
    who,
)
from supabase_jobs.audit.limits import some
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    INSERT,
    JOIN,
    OWN,
    RESTORE,
    SELECT,
    UPDATE,
)
from supabase_jobs.findings import Severity

KIND = Kind(
    code="escalation",
    order=370,
    severities=(Severity.ERROR, Severity.WARNING, Severity.QUESTION),
    sentence="A write that is allowed opens further rows to its caller.",
    of_column=True,
    opens=True,
    repair=Repair.REFUSE,
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each table, action and column, with what it opens to the most general caller."""
    groups: dict[tuple[str, str, str], list[Opened]] = {}
    for opened in sorted(_lasting(facts), key=lambda o: o.write.actor.rank):
        write = opened.write
        groups.setdefault((write.table.label, write.action, write.column), []).append(opened)
    for group in _without_other_columns(groups):
        write = _deciding(facts, group)
        gained = dict.fromkeys(
            f"{DOES[o.action]} {o.table}" for o in group if o.write.actor is write.actor
        )
        gain = f"gain access: after {_step(write)} they can {some(list(gained))}"
        is_right = facts.gives_roles(write) or _joins_part(facts, write)
        if is_right or _appoints(facts, write) or _confirms(facts, write):
            topic = write.table.label
            yield question(KIND, write, topic, topic, f"{who(write.actor)} {gain}. May they?")
        else:
            # others may not have set the state: who sets it back may only have paused
            severity = Severity.WARNING if write.name == RESTORE else Severity.ERROR
            yield shown(KIND, severity, write, f"{who(write.actor)} {gain}")


def _without_other_columns(
    groups: Mapping[tuple[str, str, str], list[Opened]],
) -> Iterator[list[Opened]]:
    """Without new rows that differ in one column from a plain one, if that opens the same, and so
    do those that differ in another column: none of these columns decides.
    """
    gains = {key: set(map(_gain, group)) for key, group in groups.items()}
    for (table, action, column), group in groups.items():
        own = gains[table, action, column]
        same = [
            name
            for (other, act, name), found in gains.items()
            if (other, act) == (table, INSERT) and name != column and own <= found
        ]
        if action != INSERT or not column or "" not in same or len(same) < 2:
            yield group


def _deciding(facts: Facts, group: Sequence[Opened]) -> Tried:
    """The write of the most general caller; that of a member, if it is no leak of theirs, goes
    before that of a person who is no member yet, or no more.
    """
    first = group[0].write
    joining = [o.write for o in group if _joins_part(facts, o.write)]
    return joining[0] if first.actor.is_inactive and joining else first


def _joins_part(facts: Facts, write: Tried) -> bool:
    """Whether somebody of the same tenant adds their own row below one that they read."""
    is_insider = write.actor.kind == MEMBER and write.actor.membership is None
    if not is_insider or write.name != JOIN or not write.written.refers_to:
        return False
    reads = {
        t.row
        for one in facts.objects.values()
        for t in one
        if t.actor is write.actor and t.action == SELECT and t.reached
    }
    return all(row in reads for row in write.written.refers_to)


def _confirms(facts: Facts, write: Tried) -> bool:
    """Whether a person whom others have named in a row says so, such as a coauthor: nobody puts
    their own name there, a new row does not have the value, and only who is named gives it.
    """
    table = write.table
    begins = table.tested.begun.get(write.actor.role, ())
    if write.action != UPDATE or write.column not in begins or not table.compared.updating:
        return False
    if {*table.compared.updating} & {*table.compared.checked}:
        return False  # who writes a row is who is named
    tried = [t for t in facts.of_table(table.label) if t.reached and t.actor.kind != SERVICE]
    added = [t for t in tried if t.action == INSERT and not t.failed]
    asks = any(t.name == JOIN for t in added)
    decides = any(t.action == UPDATE and t.column == write.column and t.whose != OWN for t in tried)
    return bool(added) and not (asks or decides)


def _appoints(facts: Facts, write: Tried) -> bool:
    """Whether a role of a group adds members to another table of memberships, such as an
    administrator the owners of flats, and the other roles of its group do not.
    """
    membership = write.actor.membership
    is_join = write.action == INSERT and write.table.rows.is_membership
    if not is_join or membership is None or not membership.role:
        return False
    reached: dict[str | None, bool] = {}
    for tried in facts.of_table(write.table.label):
        other = tried.actor.membership
        if tried.action == INSERT and other is not None and other.table == membership.table:
            reached[other.role] = reached.get(other.role, False) or tried.reached
    reached.pop(membership.role, None)
    is_other = membership.table != write.table.label
    return is_other and bool(reached) and not any(reached.values())


def _lasting(facts: Facts) -> list[Opened]:
    """Without what a caller gains by taking a row back that it may insert itself, such as a block
    of another, and without what every user with a group of their own can do.
    """
    returned = {
        _gain(opened)
        for opened in facts.opened
        if opened.write.action == DELETE and _inserts_own(facts, opened.write)
    }
    lasting = [o for o in facts.opened if o.write.action == INSERT or _gain(o) not in returned]
    return [o for o in lasting if not (_founds_group(o.write) and facts.has_without(o))]


def _founds_group(write: Tried) -> bool:
    return write.action == INSERT and write.table.rows.is_group


def _gain(opened: Opened) -> tuple[int, str, str, str]:
    write = opened.write
    return id(write.actor), write.table.label, opened.table, opened.action


def _inserts_own(facts: Facts, write: Tried) -> bool:
    return any(
        t.actor is write.actor and t.action == INSERT and t.whose == OWN and t.reached
        for t in facts.of_table(write.table.label)
    )


def _step(write: Tried) -> str:
    table = write.table.name
    if write.action == UPDATE:
        return f"UPDATE of {table}.{write.column}"
    if write.action == INSERT:
        return f"INSERT into {table}"
    return f"DELETE of their row in {table}"
