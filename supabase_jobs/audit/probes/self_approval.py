"""Self-approval: new rows of one's own that start in a state that others decide about, or that name
their writer as the person who decides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from supabase_jobs.audit.callers import CLAIM, MEMBER, NEWCOMER, OWNER, STRANGER, Persona
from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.uses import ColumnKey
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.attempt import (
    DECIDE,
    GROUP,
    INSERT,
    JOIN,
    OWN,
    START,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.new_values import NewValues
from supabase_jobs.audit.probes.record import Record
from supabase_jobs.audit.probes.writes import Effect, Writes, back_to, writable
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.compared_values import default_of
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.tenants import Row, User


class SelfApproval:
    """The new rows about which their writer decides, although others do."""

    def __init__(self, world: World, values: NewValues, writes: Writes, record: Record) -> None:
        self._world, self._plan = world, world.plan
        self._values, self._writes, self._record = values, writes, record

    def started(self) -> Iterator[Attempt]:
        """New rows of one's own that start in a state that others decide about: with another value
        of a column that its writer cannot change afterwards, and somebody else in the group can.
        """
        setters = self._setters()
        done: set[tuple[int, int]] = set()
        for attempt in self._record.inserted:
            caller, relation = attempt.caller, attempt.relation
            is_own = attempt.whose in (OWN, GROUP) and attempt.name in ("", JOIN)
            is_own &= caller.kind in (NEWCOMER, STRANGER, MEMBER) and attempt.error is None
            key = id(caller), relation.oid
            names_caller = attempt.whose == OWN or attempt.name == JOIN
            if not (is_own and names_caller) or attempt.is_state or relation.is_storage:
                continue
            if key in done:
                continue
            done.add(key)
            copy = self._values.copy_of_new(attempt)
            for column in writable(relation, caller.role, INSERT):
                by = setters.get((relation.oid, column.name), set()) - {id(caller)}
                if by and self._plan.may_hold_state(relation, column):
                    others = self._values.of(attempt.row, column, caller)[: LIMITS.chosen]
                    for value in dict.fromkeys([*others, copy.get(column.name)]):
                        if value is not None and value != default_of(column):
                            yield from self._with_value(caller, attempt.row, copy, column, value)

    def _with_value(
        self,
        caller: Persona,
        row: Row,
        copy: Mapping[str, str | None],
        column: Column,
        value: str,
    ) -> Iterator[Attempt]:
        """A new row that starts with a value, which its writer then fails to change: as the row
        that names the writer.
        """
        relation = row.relation
        attempt = self._writes.varied(caller, row, copy, column, value, START)
        own = self._values.condition_of_new(caller, relation, copy)
        readable = {n: v for n, v in own.items() if relation.may(caller.role, "SELECT", n)}
        may_change = relation.may(caller.role, "UPDATE", column.name)
        if may_change and not readable:
            return  # no condition names the new row
        self._writes.count_value(attempt, own)
        if may_change:
            new = {column.name: value}
            is_readable = relation.may(caller.role, "SELECT", column.name)
            where = readable | (new if is_readable else {})
            changing = statements.update_where(relation, where, new)
            around = attempt.around
            attempt.around = replace(
                around,
                after=[*around.after, back_to(caller), changing],
                effect=partial(_stays, around.effect, len(attempt.statements) + 2),
                ends_refused=True,
            )
        yield attempt

    def _setters(self) -> dict[ColumnKey, set[int]]:
        """Column → who changes it in rows of the group, or in rows of their own."""
        found: dict[ColumnKey, set[int]] = {}
        for attempt in self._record.attempts:
            is_change = attempt.action == UPDATE and attempt.reached and attempt.error is None
            is_of_staff = attempt.caller.kind == CLAIM
            if is_change and (attempt.whose in (OWN, GROUP) or is_of_staff):
                key = attempt.relation.oid, attempt.column
                found.setdefault(key, set()).add(id(attempt.caller))
        return found

    def find_deciders(self) -> None:
        """Note new rows that name their writer in a column more, such as the approver of a request,
        if the writer then changes a state that is refused to them once the column names a
        colleague.
        """
        named: list[tuple[Attempt, Attempt, Attempt]] = []
        for attempt in self._record.inserted:
            caller, relation = attempt.caller, attempt.relation
            is_own = caller.kind == OWNER and attempt.whose == OWN and attempt.name == ""
            if not is_own or attempt.is_state or attempt.error is not None:
                continue
            persons = self._naming(relation, attempt.written, self._world.a.owner)
            if len(persons) < 2 or relation.oid in self._plan.memberships:
                continue
            copy = self._values.copy_of_new(attempt)
            for column in persons:
                for colleague in self._colleagues(relation, column):
                    target = relation.by_name[column]
                    other = self._writes.varied(
                        caller, attempt.row, copy, target, colleague, DECIDE
                    )
                    for change in self._changes_of_state(caller, relation):
                        refused = self._changed_too(attempt, copy, column, colleague, change)
                        decided = self._changed_too(attempt, copy, column, copy[column], change)
                        named.append((other, refused, decided))
        tried = {id(one): one for three in named for one in three}
        self._record.send_controls(tried.values())
        proven: dict[ColumnKey, Attempt] = {}
        for other, refused, decided in named:
            if other.reached and not refused.reached and decided.reached:
                proven.setdefault((decided.relation.oid, decided.column), decided)
        self._record.attempts += proven.values()

    def _naming(self, relation: Relation, given: Mapping[str, str | None], user: User) -> list[str]:
        """The columns of persons in which a row names a user."""
        persons = user_columns(relation, self._plan.usage, self._plan.per_user)
        return [n for n in persons if n in given and given[n] == self._named(relation, n, user)]

    def _named(self, relation: Relation, column: str, user: User) -> str | None:
        """The value by which a column names a user: the id, or the key of the row of the user."""
        for key in relation.foreign_keys:
            if key.columns == (column,) and key.target in self._plan.per_user:
                row = user.rows.get(key.target)
                return None if row is None else row.values.get(key.target_columns[0])
        return user.id

    def _colleagues(self, relation: Relation, column: str) -> list[str]:
        """The first other user of tenant A whom a column can name."""
        others = [u for u in self._world.a.users if u is not self._world.a.owner]
        names = [self._named(relation, column, user) for user in others]
        return [name for name in names if name is not None][:1]

    def _changes_of_state(self, caller: Persona, relation: Relation) -> list[Attempt]:
        """The updates of a state in a row of one's own, one for each value."""
        return [
            attempt
            for attempt in self._record.attempts
            if attempt.caller is caller and attempt.relation is relation
            if attempt.action == UPDATE and attempt.whose == OWN and attempt.reached
            if not attempt.is_state and attempt.error is None
            if self._plan.may_hold_state(relation, relation.by_name[attempt.column])
        ]

    def _changed_too(
        self,
        attempt: Attempt,
        copy: Mapping[str, str | None],
        column: str,
        person: str | None,
        change: Attempt,
    ) -> Attempt:
        """The new row with a person in a column, and a change of its state by its writer."""
        relation, row = attempt.relation, attempt.row
        decided = self._writes.varied(
            attempt.caller, row, copy, relation.by_name[column], person, DECIDE
        )
        persons = self._naming(relation, copy, self._world.a.owner)
        where = {name: copy[name] for name in persons} | {column: person}
        new = {change.column: change.value}
        changing = statements.update_where(relation, where, new)
        decided.around = replace(decided.around, after=[changing], effect=_changes_too)
        return decided


def _stays(effect: Effect | None, statements: int, answers: Sequence[Any]) -> bool:
    """Whether a row was inserted with its value, and its writer could not change it: the last
    of the statements changed no row, or was refused.
    """
    inserting = answers[: statements - 2]
    is_added = effect(inserting) if effect else answers[0].count
    is_changed = len(answers) == statements and answers[-1].count
    return bool(is_added) and not is_changed


def _changes_too(answers: Sequence[Any]) -> bool:
    """Whether a row was inserted, and its writer could change it."""
    return bool(answers[0].count) and bool(answers[1].count)
