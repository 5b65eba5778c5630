"""Rows that a caller adds in another user's name, or below rows of others that it cannot read.

A column that names another user may name an author or a receiver. Who names an author acts as that
user towards those who read the row; a row that only the named user reads may be a message to it.
"""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import ANON, CLAIM, MEMBER, NEWCOMER
from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.leaks.attempts import inserts_of_outsiders, writes_of_other_tenants
from supabase_jobs.audit.leaks.leak import (
    DOES,
    Kind,
    Question,
    ShownLeak,
    TableColumn,
    any_user,
    question,
    shown,
    who,
    who_outside,
    who_writes,
)
from supabase_jobs.audit.probes.attempt import (
    BELOW,
    DELETE,
    FORGE,
    GROUP,
    INSERT,
    JOIN,
    OTHER,
    OWN,
    SELECT,
    UPDATE,
)
from supabase_jobs.findings import Severity

KIND = Kind(
    code="forged",
    order=190,
    severities=(Severity.ERROR, Severity.WARNING, Severity.QUESTION),
    sentence="Users add rows in the name of another user.",
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """At most one leak for each object."""
    for group in facts.objects.values():
        inserts = inserts_of_outsiders(group)
        yield from _in_the_name_of_another(facts, group, inserts)
        yield from _in_the_name_of_a_colleague(facts, group)
        yield from _of_another(facts, inserts)
        yield from _by_a_role(facts, group)
        for tried in writes_of_other_tenants(facts, group):
            if tried.action == INSERT:
                message = (
                    f"{who(tried.actor)} {DOES[INSERT]} other users' {tried.table.noun},"
                    " without being able to read them"
                )
                yield shown(KIND, Severity.ERROR, tried, message)


def _in_the_name_of_another(
    facts: Facts, group: Sequence[Tried], inserts: Sequence[Tried]
) -> Iterator[ShownLeak | Question]:
    """A row of one's own, but for the column of its author."""
    if any(t.whose == OTHER and t.name == "" for t in inserts):
        return
    for tried in inserts:
        if tried.name != FORGE:
            continue
        table, is_read = tried.table, _is_read_by_others(group)
        is_right = _is_of_a_role(group) or _is_refused_to_others(group)
        if is_right or _names_receiver(group, table) or _is_of_the_owner(facts, group):
            message = f"{who_writes(tried)} add rows to {{}} that name another user. May they?"
            yield question(KIND, tried, table.label, table.label, message)
        elif table.compared.names_owner or is_read:
            # one row per user is about that user: the staff may add it
            is_error = table.compared.names_owner and is_read and not table.rows.per_user
            severity = Severity.ERROR if is_error else Severity.WARNING
            message = "Any signed-in user can add rows in another user's name"
            yield shown(KIND, severity, tried, message)
        else:
            message = f"{any_user(tried)} add rows to {{}} that name another user. May they?"
            yield question(KIND, tried, table.label, table.label, message)
        return


def _is_of_a_role(group: Sequence[Tried]) -> bool:
    """Whether some members of a group may add no row at all, and others may: those who may have a
    role, such as that of who links accounts.
    """
    may: dict[Actor, bool] = {}
    for tried in group:
        is_active = tried.actor.kind == MEMBER and not tried.is_state
        if is_active and tried.action == INSERT and tried.whose in (OWN, GROUP):
            may[tried.actor] = may.get(tried.actor, False) or tried.reached
    return set(may.values()) == {True, False}


def _is_refused_to_others(group: Sequence[Tried]) -> bool:
    """Whether somebody adds a row in their own name, and the same row in another's is refused: then
    only those who administer a group name others.
    """
    inserts = [t for t in group if t.action == INSERT and not t.is_state]
    own = {(t.actor, t.row) for t in inserts if t.name == JOIN and t.reached and not t.failed}
    others: dict[tuple[Actor, int], bool] = {}
    for tried in inserts:
        key = tried.actor, tried.row
        if tried.name == "" and key in own:
            others[key] = others.get(key, False) or tried.reached
    return not all(others.values())


def _names_receiver(group: Sequence[Tried], table: Table) -> bool:
    """Whether being named lets a user read a row only, which nobody adds without a role: as the
    customer of an invoice, whom the staff names.
    """
    outside = [t for t in group if t.action == INSERT and t.actor.kind == NEWCOMER]
    is_open = not outside or any(t.reached for t in outside)
    compared = table.compared
    return compared.names_owner and not (is_open or compared.checked or compared.updating)


def _is_of_the_owner(facts: Facts, group: Sequence[Tried]) -> bool:
    """Whether only who owns the row above adds rows, as who lets a flat: no policy for new rows
    asks whom they name, and nobody else adds one below this row.
    """
    table, inserts = group[0].table, [t for t in group if t.action == INSERT]
    above = [p for p in facts.parents(table) if not p.rows.per_user]
    is_shared = any(p.rows.is_group or len(p.persons.users) > 1 for p in above)
    if table.compared.checked or is_shared or not any(p.persons.users for p in above):
        return False
    others = [t for t in inserts if t.actor.kind == MEMBER]
    others += [t for t in inserts if t.name == BELOW and t.column not in table.persons.users]
    return not any(t.reached for t in others)


def _is_read_by_others(group: Sequence[Tried]) -> bool:
    """Whether others than the owner of a row read it: outsiders, or members of the group."""
    return any(t.action == SELECT and t.whose in (OTHER, GROUP) and t.reached for t in group)


def _of_another(facts: Facts, inserts: Sequence[Tried]) -> Iterator[ShownLeak | Question]:
    """A row that belongs to another by all of its columns."""
    for tried in inserts:
        is_special = bool(tried.name) or tried.table.is_storage
        if tried.whose != OTHER or is_special or tried.written.names_nobody:
            continue
        is_named = _identifies(tried.table)
        stands_in = [
            f"{column} is another's row of {parent}"
            for column, parent in tried.table.persons.stand_ins.items()
            if column in tried.table.compared.compared_stand_ins
            and _refers(facts, tried, parent, OTHER)
        ]
        parents = [] if is_named else facts.unreadable_parents(tried)
        is_form = facts.is_form(tried.table) or (is_named and _is_addressed(tried))
        if (is_named or parents) and is_form:
            if facts.is_received(tried.table) and tried.table.policies.is_for_guests:
                return
            message = "Anyone can add rows of others to {}, as by a form. Is that intended?"
            yield question(KIND, tried, "anyone", tried.table.label, message)
        elif is_named and _is_assigned(tried):
            message = (
                f"{who_outside(tried.actor)} add rows to {{}} that name another user. May they?"
            )
            yield question(KIND, tried, "whom all may assign", tried.table.label, message)
        elif is_named:
            severity = Severity.WARNING if tried.actor.is_inactive else Severity.ERROR
            message = f"{who_outside(tried.actor)} add rows in another user's name"
            yield shown(KIND, severity, tried, message)
        elif parents:
            message = (
                f"{who_outside(tried.actor)} add rows below {parents[0]} rows of others that they"
                " cannot read"
            )
            message += f", in another's name: {stands_in[0]}" if stands_in else ""
            yield shown(KIND, Severity.ERROR, tried, message)
        elif stands_in and not tried.failed:
            message = f"{who_outside(tried.actor)} add rows in another's name: {stands_in[0]}"
            yield shown(KIND, Severity.WARNING, tried, message)
        return


def _by_a_role(facts: Facts, group: Sequence[Tried]) -> Iterator[Question]:
    """A row in another's name that anyone reads, by somebody with a role that lets them change
    their own rows only: others take it for a statement of the person in it.
    """
    table = group[0].table
    is_author = table.compared.names_owner and not table.compared.checked
    is_read = any(t.actor.is_outsider for t in group if t.action == SELECT and _reaches_other(t))
    for tried in group if is_author and is_read and not table.rows.per_user else ():
        is_added = tried.action == INSERT and _reaches_other(tried) and not tried.name
        if not is_added or tried.failed or tried.actor.kind != CLAIM or tried.is_state:
            continue
        own = facts.of_actor(table.label, tried.actor)
        if not any(t.action in (UPDATE, DELETE) and _reaches_other(t) for t in own):
            message = (
                f"{who(tried.actor)} add rows to {{}} that name another user, of whom they cannot"
                " change any. May they?"
            )
            yield question(KIND, tried, "by a role", table.label, message)
            return


def _reaches_other(tried: Tried) -> bool:
    return tried.whose == OTHER and tried.reached


def _is_assigned(tried: Tried) -> bool:
    """Whether the persons in a row may be those to whom it is assigned, and no author: no policy
    asks for them, a row may have none, and a policy lets everybody name others in every row, also
    those whom it names.
    """
    table, role = tried.table, tried.actor.role
    users = {*table.persons.users}
    is_free = role in table.policies.changed_by and all(
        table.may(role, "UPDATE", name) for name in users
    )
    persons = table.persons
    is_asked = table.compared.names_owner or persons.claims or persons.headers
    is_named = bool(is_asked or tried.written.names)
    return is_free and not is_named and users.isdisjoint(table.values.mandatory)


def _is_addressed(tried: Tried) -> bool:
    """Whether anybody, without signing in, adds a row that names a receiver by a row of theirs,
    such as the shop of an inquiry, and nobody as its writer.
    """
    table = tried.table
    return tried.actor.kind == ANON and table.policies.is_unconditional and table.persons.names_rows


def _in_the_name_of_a_colleague(
    facts: Facts, group: Sequence[Tried]
) -> Iterator[ShownLeak | Question]:
    """A row that names the membership of a colleague, which members of all roles add that the
    project knows: of at least two.
    """
    table = group[0].table
    if table.rows.is_membership or table.rows.is_group:
        return
    for column, parent in table.persons.stand_ins.items():
        added = {t.actor: t for t in group if _adds_for(facts, t, parent)}
        members = {t.actor for t in facts.of_table(table.label) if _is_member_of(t.actor, parent)}
        roles = {"" if a.membership is None else a.membership.role for a in added}
        if not added or added.keys() != members or (len(roles) == 1 and None not in roles):
            continue
        first, callers = next(iter(added.values())), ", ".join(a.label for a in added)
        if column in table.compared.compared_stand_ins:
            message = f"Members ({callers}) can add rows in a colleague's name, by {column}"
            yield shown(KIND, Severity.WARNING, first, message)
        else:
            message = f"Members ({callers}) can name any colleague in {{}} of new rows. May they?"
            yield question(
                KIND, first, f"{parent}, colleagues", TableColumn(table.label, column), message
            )


def _adds_for(facts: Facts, tried: Tried, parent: str) -> bool:
    """Whether a member adds a row that refers to a colleague's membership."""
    is_added = tried.action == INSERT and tried.reached and not (tried.failed or tried.name)
    is_added &= tried.whose == GROUP and _is_member_of(tried.actor, parent)
    return is_added and _refers(facts, tried, parent, GROUP)


def _is_member_of(actor: Actor, label: str) -> bool:
    """Whether a caller has an active membership of a table, in one group."""
    membership = actor.membership
    if membership is None or actor.kind != MEMBER or actor.is_elsewhere:
        return False
    return membership.table == label and not membership.in_both


def _refers(facts: Facts, tried: Tried, parent: str, whose: str) -> bool:
    """Whether a new row refers to a row of a table that is not the caller's."""
    reads = [t for row in tried.written.refers_to for t in facts.reads_of(row)]
    return any(
        t.actor is tried.actor and t.table.label == parent and t.whose == whose for t in reads
    )


def _identifies(table: Table) -> bool:
    """Whether the table itself names the owner of a row, by a user, claim or header."""
    return table.persons.names_some
