"""Inserts and updates as attempts, and how it is seen that one of them has reached its row although
a trigger may have changed the row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import Column, Relation, is_partition_column
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.attempt import (
    FORGE,
    GROUP,
    INSERT,
    OTHER,
    OWN,
    UPDATE,
    Around,
    Attempt,
)
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import Statement
from supabase_jobs.session.action import Cursor
from supabase_jobs.session.impersonation import SET

Effect = Callable[[Sequence[Any]], bool]


class Writes:
    """Makes attempts that write rows.

    `owner` is the statement that sets the role of the owner of the database, which counts rows.
    """

    def __init__(self, plan: Plan, owner: Statement, cursors: Mapping[int, Cursor]) -> None:
        """`cursors` are those that are open, by the identity of their row."""
        self._plan, self._owner, self._cursors = plan, owner, cursors

    def cursor(self, row: Row) -> Cursor | None:
        """The cursor on a row, so that an UPDATE or DELETE of it reads no column."""
        return self._cursors.get(id(row))

    def update(
        self, caller: Persona, row: Row, whose: str, new: Mapping[str, str | None]
    ) -> Attempt:
        """An update of a row. The first column of `new` is the one that the attempt is about."""
        relation = row.relation
        column = next(iter(new))
        attempt = Attempt(
            caller=caller,
            relation=relation,
            whose=whose,
            action=UPDATE,
            row=row,
            sent=statements.update(row, new, self.cursor(row)),
            column=column,
            value=new[column],
        )
        if relation.triggers and row.ctid:
            lasts = statements.has_value(row, column, new[column])
            attempt.around = Around(after=[self._owner, lasts], effect=_counts_and_lasts)
        return attempt

    def insert(
        self,
        caller: Persona,
        whose: str,
        source: Row,
        row: Mapping[str, str | None],
        name: str = "",
    ) -> Attempt:
        """A new row, made from the row `source`."""
        relation, row = source.relation, source.sent(row)
        allowed = writable(relation, caller.role, INSERT)
        if not allowed and not relation.may(caller.role, "INSERT"):
            allowed = [c for c in relation.columns if not c.generated and c.identity != "a"]
        columns = [
            c for c in allowed if row.get(c.name) is not None and not self._omitted(relation, c)
        ]
        attempt = Attempt(
            caller=caller,
            relation=relation,
            whose=whose,
            action=INSERT,
            row=source,
            sent=statements.insert(relation, row, columns),
            name=name,
        )
        users = [
            c
            for c in user_columns(relation, self._plan.usage, self._plan.per_user)
            if row.get(c) is not None
        ]
        if relation.triggers and users and name in ("", FORGE) and whose in (OTHER, GROUP):
            # a trigger may replace the owner by the caller: count the rows of the owner before and
            # after
            self._count(attempt, {c: row[c] for c in users})
        return attempt

    def _omitted(self, relation: Relation, column: Column) -> bool:
        """Whether the server fills the column: a key by default."""
        foreign = any(column.name in k.columns for k in relation.foreign_keys)
        return (
            column.name in relation.primary_key
            and not foreign
            and not is_partition_column(relation, column)
            and (column.default is not None or bool(column.identity))
        )

    def varied(
        self,
        caller: Persona,
        row: Row,
        copy: Mapping[str, str | None],
        column: Column,
        value: str | None,
        name: str,
    ) -> Attempt:
        """A new row of one's own: a copy with another value in one column."""
        attempt = self.insert(caller, OWN, row, {**copy, column.name: value}, name=name)
        attempt.column, attempt.value = column.name, value
        return attempt

    def count_value(self, attempt: Attempt, own: Mapping[str, str | None]) -> None:
        """Let a new row count only if it has the value of one column that it was given: a trigger
        may have set another one.
        """
        if not attempt.relation.triggers or not own or attempt.sent is None:
            return
        self._count(attempt, {**own, attempt.column: attempt.value})

    def _count(self, attempt: Attempt, given: Mapping[str, str | None]) -> None:
        """Let a new row count only if there is one row more with the given values."""
        count = statements.count(attempt.relation, given)
        attempt.around = Around(
            before=[self._owner, count, back_to(attempt.caller)],
            after=[self._owner, count],
            effect=_one_more,
        )

    def after(self, attempt: Attempt, change: Statement) -> Attempt:
        """The action of a caller after a change by the owner of the database."""
        before, around = [self._owner, change, back_to(attempt.caller)], attempt.around
        behind = replace(
            around,
            before=[*before, *around.before],
            effect=partial(_behind, around.effect, len(before)),
        )
        return replace(attempt, around=behind, outcome="", error=None, answers=())


def back_to(caller: Persona) -> Statement:
    """The statement that sets the caller's role again."""
    return Statement(SET, ("role", caller.role))


def writable(relation: Relation, role: str, action: str) -> list[Column]:
    """The columns that a role may assign by an INSERT or UPDATE."""
    return [
        c
        for c in relation.columns
        if not c.generated and c.identity != "a" and relation.may(role, action.upper(), c.name)
    ]


def _counts_and_lasts(answers: Sequence[object]) -> bool:
    """Whether an UPDATE reached its row, and no trigger has restored the value."""
    return bool(answers[0].count and answers[-1].rows[0][0])  # type: ignore[attr-defined]


def _behind(effect: Effect | None, number: int, answers: Sequence[Any]) -> bool:
    """Whether an action reached its row behind a number of statements, as without them."""
    return bool(effect(answers[number:]) if effect else answers[number].count)


def _one_more(answers: Sequence[object]) -> bool:
    before, after = answers[1].rows[0][0], answers[-1].rows[0][0]  # type: ignore[attr-defined]
    return bool(after > before)
