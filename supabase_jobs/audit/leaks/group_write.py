"""Members who write rows of others in their group, although something keeps these rows from them:
they cannot read the row, or the row above it, or add one.
"""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import MEMBER, NEWCOMER, OWNER, STRANGER
from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.leaks.leak import (
    DOES,
    Kind,
    Question,
    ShownLeak,
    TableColumn,
    question,
    shown,
    who,
)
from supabase_jobs.audit.policies.uneven_writes import Uneven, UnevenWrite
from supabase_jobs.audit.probes.attempt import (
    BELOW,
    DELETE,
    GROUP,
    INSERT,
    JOIN,
    NAME,
    OTHER,
    OWN,
    UPDATE,
)
from supabase_jobs.findings import Severity

KIND = Kind(
    code="group-write",
    order=330,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="Members write rows of others in their group that they cannot read or add.",
)

# the policy that asks for less, and the other one; states of the row above are another kind's
_UNEVEN = {
    Uneven.ROLE: (
        'Policy "{policy}" lets more roles change rows of {table} than policy "{other}" lets add'
        " them. May they?"
    ),
    Uneven.ROLE_OF_DELETE: (
        'Policy "{policy}" lets more roles delete rows of {table} than policy "{other}" lets change'
        " or add them. May they?"
    ),
    Uneven.SIBLINGS: (
        'Policy "{policy}" lets each role add rows of {table}, although those of {other} ask the'
        " same function for one. May they?"
    ),
    Uneven.ROLE_AFTER: (
        'Policy "{policy}" asks for less after a change of rows in {table} than before it, so that'
        " {columns} may be one for which the role is missing. May it?"
    ),
    Uneven.VALUE: (
        'Policy "{policy}" lets its callers delete rows of {table} with {columns}, which it refuses'
        " in new and changed rows. May they?"
    ),
    Uneven.UNSEEN: (
        'Policy "{policy}" lets more users add rows of {table} with {columns} than policy'
        ' "{other}" shows them to. May they?'
    ),
    Uneven.LOCK: (
        'Policy "{policy}" lets its callers delete rows of {table} with themselves as {columns}, by'
        " which {other} refuses them something. May they?"
    ),
}


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """A leak for each object that a weaker role deletes; a question about rows in a colleague's
    name, and one for each table above the rows.
    """
    for one in facts.uneven_writes:
        yield from _of_weaker_role(one)
    for label in facts.objects:
        yield from _unguarded(facts, label)
        yield from _below_unchanged(facts, label)
    for group in facts.objects.values():
        for tried in group:
            if tried.actor.post == tried.table.label and _dismisses(group, tried):
                message = f"{who(tried.actor)} delete rows of others, although only other roles"
                yield shown(KIND, Severity.WARNING, tried, f"{message} add them")
            if tried.actor.kind != MEMBER or tried.whose != GROUP or tried.name:
                continue
            if not tried.reached or tried.is_state:
                continue
            if tried.action == INSERT:
                yield from _of_colleague(facts, tried)
            elif tried.action in (UPDATE, DELETE) and not tried.failed:
                yield from _below_unreadable(facts, tried)
            if tried.column in tried.table.persons.users and _hands_over(facts, tried):
                label = tried.table.label
                message = (
                    f"{who(tried.actor)} change {{}} of rows in {label}, also of those of a"
                    " colleague, although only other roles add and delete rows. May they?"
                )
                yield question(KIND, tried, f"{label}:{tried.column}", tried.column, message)
            if tried.action == DELETE and _only_deletes(facts, tried):
                message = (
                    f"{who(tried.actor)} delete {tried.table.noun} of others in their group,"
                    " although only other roles add them"
                )
                yield shown(KIND, Severity.WARNING, tried, message)


def _of_weaker_role(one: UnevenWrite) -> Iterator[Question]:
    """Rows that more roles change than add, or that are moved to a group where a role lacks."""
    sentence = _UNEVEN.get(one.what)
    if sentence is None:
        return
    message = sentence.format(
        policy=one.policy, other=one.other, columns=", ".join(one.columns), table="{}"
    )
    yield Question(
        kind=KIND,
        severity=Severity.QUESTION,
        object=one.table,
        message=message,
        decides=f"{one.table}:{one.policy}:{one.what}",
        topics=(one.table,),
    )


def _unguarded(facts: Facts, label: str) -> Iterator[Question]:
    """Rows that users add directly, and functions after checks of their own."""
    for tried in facts.objects[label]:
        is_user = tried.actor.kind in (NEWCOMER, STRANGER, MEMBER)
        is_added = tried.action == INSERT and tried.reached and not tried.failed and is_user
        if not is_added or tried.whose not in (OWN, GROUP) or tried.is_state:
            continue
        if not facts.for_guests.issuperset(tried.table.code.guarded):
            message = (
                "Users can add rows to {} directly, which functions of the project add after checks"
                " of their own. May they?"
            )
            yield question(KIND, tried, "functions", tried.table.label, message)
            return


def _of_colleague(facts: Facts, tried: Tried) -> Iterator[Question]:
    """A new row in a colleague's name: a message to the colleague, a task, or a statement of
    theirs.
    """
    table = tried.table
    is_of_person = bool(table.persons.users) and not tried.written.names_nobody
    if not is_of_person or table.rows.is_membership or table.rows.is_group or table.rows.per_user:
        return
    if not _reads(facts, tried.actor, tried.row):
        message = "Members can add rows to {} that name a colleague and that they cannot read."
        yield question(KIND, tried, "members", table.label, f"{message} May they?")
        return
    if tried.failed:
        return
    message = "Members can name a colleague in {} of new rows. May they?"
    for column in table.persons.users:
        if column not in {*table.compared.checked, *_named_by_outsiders(facts, table)}:
            yield question(KIND, tried, "colleagues", TableColumn(table.label, column), message)


def _named_by_outsiders(facts: Facts, table: Table) -> Iterator[str]:
    """The columns in which even outsiders name others: another kind's question."""
    for tried in facts.of_table(table.label):
        is_named = tried.name == BELOW and tried.column in tried.written.names
        is_named |= tried.name == NAME and facts.is_deciding(table)
        if is_named and tried.actor.is_outsider and tried.reached:
            yield tried.column


def _below_unreadable(facts: Facts, tried: Tried) -> Iterator[Question]:
    """A row below one that the caller cannot read: of another's course, or of a closed one."""
    for row in tried.on.below:
        known = [t for t in facts.reads_of(row) if t.actor is tried.actor]
        for read in known:
            parent = read.table
            is_other = parent.rows.owned and not (parent.rows.per_user or parent.rows.is_group)
            if read.reached or not is_other or parent is tried.table:
                continue
            message = (
                f"{who(tried.actor)} {DOES[tried.action]} rows of {{}} below rows of others in"
                f" {parent.label} that they cannot read. May they?"
            )
            yield question(KIND, tried, parent.label, tried.table.label, message)


def _below_unchanged(facts: Facts, label: str) -> Iterator[Question]:
    """Rows below those that members may only read, by a policy that asks nothing else."""
    group = facts.objects[label]
    for parent in group[0].table.above.following:
        writes = [
            t
            for t in group
            if t.actor.kind == MEMBER and t.whose == GROUP and t.action in (UPDATE, DELETE)
            if t.reached and not (t.failed or t.is_state or facts.is_open(t))
            if _only_reads(facts, t.actor, parent)
        ]
        callers = dict.fromkeys(t.actor.label for t in writes)
        if writes:
            message = (
                f"Members ({', '.join(callers)}) can {DOES[writes[0].action]} rows of {{}} below"
                f" each row that they read in {parent}, which they can neither change nor delete."
                " May they?"
            )
            yield question(KIND, writes[0], f"{parent}, by its readers", label, message)


def _only_reads(facts: Facts, actor: Actor, label: str) -> bool:
    """Whether a member was refused to change and to delete the group's rows of a table."""
    writes = [t for t in facts.of_actor(label, actor) if t.whose == GROUP and not t.name]
    writes = [t for t in writes if t.action in (UPDATE, DELETE)]
    return bool(writes) and not any(t.reached for t in writes)


def _reads(facts: Facts, actor: Actor, row: int) -> bool:
    return any(t.actor is actor and t.reached for t in facts.reads_of(row))


def _only_deletes(facts: Facts, tried: Tried) -> bool:
    """Whether a role without power over others may add no such row, and another role of the same
    group may add and delete it.
    """
    if not _is_weak(facts, tried) or facts.words.powerful_roles.matches(_role(tried)):
        return False
    group = facts.objects[tried.object]
    inserts = [t for t in group if t.actor is tried.actor and t.action == INSERT]
    in_own_name = [t for t in inserts if t.whose == OWN or t.name == JOIN]
    if any(t.reached for t in inserts) or (tried.table.persons.users and not in_own_name):
        return False
    return bool(_managing(facts, tried) - {"", _role(tried)})


def _hands_over(facts: Facts, tried: Tried) -> bool:
    """Whether a weaker role gives rows of colleagues to somebody else, which it can neither add nor
    delete, and another role of the same group may.
    """
    table = tried.table
    is_of_app = table.rows.is_membership or table.rows.is_group or table.rows.per_user
    if tried.action != UPDATE or is_of_app or tried.column in table.compared.updating:
        return False
    group = facts.of_actor(table.label, tried.actor)
    writes = [t for t in group if t.action in (INSERT, DELETE)]
    is_kept = {t.action for t in writes} == {INSERT, DELETE} and not any(t.reached for t in writes)
    if not is_kept or not _is_weak(facts, tried):
        return False
    return bool(_managing(facts, tried) - {"", _role(tried)})


def _is_weak(facts: Facts, tried: Tried) -> bool:
    """Whether a member of one group only has one of its weaker roles."""
    membership = tried.actor.membership
    if membership is None or not membership.role or membership.in_both or facts.is_open(tried):
        return False
    return membership.role != membership.strongest


def _role(tried: Tried) -> str:
    membership = tried.actor.membership
    return "" if membership is None else membership.role or ""


def _managing(facts: Facts, tried: Tried) -> set[str]:
    """The roles of the same group that add and delete such rows."""
    membership = tried.actor.membership
    table = "" if membership is None else membership.table
    reached = [t for t in facts.objects[tried.object] if t.reached and t.whose in (OWN, GROUP)]
    adding = {_role_in(table, t.actor) for t in reached if t.action == INSERT}
    return adding & {_role_in(table, t.actor) for t in reached if t.action == DELETE}


def _dismisses(group: Sequence[Tried], tried: Tried) -> bool:
    """Whether somebody in a table of staff deletes another's row there and may not add it, as
    others in it do.
    """
    if tried.action != DELETE or tried.whose != OTHER or not tried.reached:
        return False
    of_post = [t for t in group if t.actor.post == tried.table.label and t.whose == OTHER]
    adding = {t.actor for t in of_post if t.action == INSERT and t.reached}
    deleting = {t.actor for t in of_post if t.action == DELETE and t.reached}
    return tried.actor not in adding and bool(adding & deleting)


def _role_in(table: str, actor: Actor) -> str:
    """The role of a caller by a table of memberships; the owner of a group has the most powerful
    one.
    """
    if actor.kind == OWNER:
        return OWNER
    membership = actor.membership
    return "" if membership is None or membership.table != table else membership.role or ""
