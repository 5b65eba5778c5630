"""Rows in a state that refuses some changes and permits others, such as the lines of an order that
has been sent: nobody adds one, and everybody changes them.

The evidence is the difference for one caller: another state of the row, or of the row above it,
permits both. Who changes parts of a row that belongs to nobody else may undo what the state is for;
the message of a person below a closed topic is that person's own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from supabase_jobs.audit.callers import MEMBER, OWNER
from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import Table
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
from supabase_jobs.audit.policies.uneven_writes import Uneven
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    GROUP,
    INSERT,
    JOIN,
    OWN,
    SELECT,
    UPDATE,
)
from supabase_jobs.findings import Severity
from supabase_jobs.outcomes import CLOSED

KIND = Kind(
    code="half-locked",
    order=170,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="A state of a row refuses some changes and permits others.",
    repair=Repair.OTHER_COMMAND,
)
_CHANGES = (INSERT, UPDATE, DELETE)
# an exception of a trigger or function, such as "the order has been sent"
_RAISED = "P0001"


@dataclass
class _Row:
    """A row, and the actions of one caller on it: those that reach it, and those that are
    refused.
    """

    read: Tried
    reached: dict[str, Tried] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    @property
    def changed(self) -> list[str]:
        """The changes that reach it."""
        return [action for action in _CHANGES if action in self.reached]


@dataclass(frozen=True)
class _Found:
    """A change of a row in a state, in which others are `lost`: of the row, or of the row above it.
    `unlocked` is a row in a state that refuses none of them. `of_parent`: the state is that of the
    row above it.
    """

    tried: Tried
    locked: Tried
    unlocked: Tried
    lost: Sequence[str]
    of_parent: bool


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each table: of members before the owner, who may have more rights."""
    for label, table in facts.tables.items():
        if not table.rls or table.is_storage or table.rows.is_membership or table.rows.per_user:
            continue
        actors = dict.fromkeys(tried.actor for tried in facts.of_table(label))
        writers = [actor for actor in actors if actor.kind in (MEMBER, OWNER)]
        others_write = False
        for actor in sorted(writers, key=lambda one: one.kind == OWNER):
            rows = _rows(facts, label, actor)
            found = [*_of_states(table, rows), *_below(facts, table, rows, actor)]
            if found:
                yield _leak(table, found, is_certain=not others_write)
                break
            others_write |= any(row.reached for row in rows)
        else:
            yield from _of_policies(facts, label)


def _of_policies(facts: Facts, label: str) -> Iterator[Question]:
    """A question about each policy that asks for no state of the row above, where another one does
    of the same person: who has several roles at once, as the owner of the generated rows, passes by
    another policy.
    """
    for one in facts.uneven_writes:
        does = {
            Uneven.STATE_OF_NEW: ("adds", "changed"),
            Uneven.STATE_OF_CHANGED: ("changes", "new"),
        }
        if one.table != label or one.what not in does:
            continue
        verb, rows = does[one.what]
        message = (
            f'Policy "{one.policy}" {verb} rows of {label} whatever {{}} says, for which policy'
            f' "{one.other}" asks of {rows} rows. May it?'
        )
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=label,
            message=message,
            decides=f"{label}:{one.what}",
            topics=one.columns,
        )


def _leak(table: Table, found: Sequence[_Found], *, is_certain: bool) -> ShownLeak | Question:
    one = next((each for each in found if _is_strong(table, each)), found[0])
    does = [
        DOES[each.tried.action]
        for each in found
        if (each.locked, each.unlocked, each.lost) == (one.locked, one.unlocked, one.lost)
    ]
    lost = " or ".join(DOES[action] for action in one.lost)
    where = "" if one.locked.object == one.tried.object else f" in {one.locked.object}"
    unlocked = f"unlike in {one.unlocked.object}"
    can = f"{who(one.tried.actor)} {' and '.join(dict.fromkeys(does))} rows of"
    why = f"although they cannot {lost} rows{where}, {unlocked}"
    if is_certain and _is_strong(table, one):
        return shown(KIND, Severity.WARNING, one.tried, f"{can} {one.tried.object}, {why}")
    topic = one.tried.object
    return question(KIND, one.tried, table.label, topic, f"{can} {{}}, {why}. May they?")


def _is_part(table: Table) -> bool:
    """Whether a row is a part of another one, and not that of a person, who answers for it."""
    return bool(table.above.parts_of) and not table.persons.names_some


def _is_strong(table: Table, one: _Found) -> bool:
    """Whether the state is to keep the row above as it is, and not only to keep it at all."""
    return one.of_parent and _is_part(table) and one.lost != [DELETE]


def _rows(facts: Facts, label: str, actor: Actor) -> list[_Row]:
    """The rows of a table that a caller reads and shares, or owns."""
    found: dict[int, _Row] = {}
    tried = [t for t in facts.of_actor(label, actor) if t.whose in (OWN, GROUP)]
    for one in tried:
        if one.action == SELECT and one.reached:
            found[one.row] = _Row(one)
    for one in tried:
        if one.row in found and one.name in ("", JOIN) and one.action in _CHANGES:
            row = found[one.row]
            is_known = one.action == UPDATE and UPDATE in (*row.reached, *row.refused)
            if is_known and not (one.reached and _moves_on(one)):
                continue  # of each state, the first column is tried
            if one.reached:
                row.reached.setdefault(one.action, one)
            elif one.outcome in (*CLOSED, _RAISED):
                row.refused.add(one.action)
    for row in found.values():
        row.refused -= row.reached.keys()
    return list(found.values())


def _moves_on(update: Tried) -> bool:
    """Whether an update gives a row the next state, as who starts what has been assigned."""
    return any(one.name == update.column and one.is_own for one in update.conditions)


def _pairs(rows: Sequence[_Row]) -> Iterator[tuple[_Row, _Row, list[str]]]:
    """A row in a further state, one that names the same users and permits more, and the changes
    that only this one permits.

    A state that a row starts in and that refuses it is none that follows.
    """
    for locked in rows:
        if not locked.read.on.state_of:
            continue
        for unlocked in rows:
            lost = [action for action in unlocked.changed if action in locked.refused]
            if lost and locked.read.on.people == unlocked.read.on.people:
                yield locked, unlocked, lost


def _of_states(table: Table, rows: Sequence[_Row]) -> Iterator[_Found]:
    """Changes in a state of a row, or of the row above it, that refuses others.

    A row starts in one state and is changed in another, so of its own states only a row that may be
    deleted and not be changed is one.
    """
    for locked, unlocked, lost in _pairs(rows):
        states = {locked.read.on.state_of, unlocked.read.on.state_of} - {""}
        if not states <= {table.label, *table.above.parts_of, *table.above.locked_by}:
            continue  # that of a row to which it only refers
        of_parent = states != {table.label}
        for action in locked.changed:
            is_locked = UPDATE in lost and action == DELETE
            if action in unlocked.reached and (of_parent or is_locked):
                yield _Found(
                    tried=locked.reached[action],
                    locked=locked.read,
                    unlocked=unlocked.read,
                    lost=lost,
                    of_parent=of_parent,
                )


def _below(facts: Facts, table: Table, rows: Sequence[_Row], actor: Actor) -> Iterator[_Found]:
    """Changes of parts of a row whose state refuses changes of itself."""
    for parent in table.above.parts_of:
        for locked, unlocked, lost in _pairs(_rows(facts, parent, actor)):
            changes = [action for action in lost if action != INSERT]
            if not changes or (changes == [DELETE] and not _is_part(table)):
                continue
            for row in rows:
                if locked.read.row not in row.read.on.part_of:
                    continue
                for action in row.changed:
                    yield _Found(
                        tried=row.reached[action],
                        locked=locked.read,
                        unlocked=unlocked.read,
                        lost=changes,
                        of_parent=True,
                    )
