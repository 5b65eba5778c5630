"""The rows of a fixture one by one, to find those that objects of the project refuse."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Id
from supabase_jobs.session.frame import FIXTURE
from supabase_jobs.session.impersonation import Impersonation, committed
from supabase_jobs.session.savepoint import run_kept
from supabase_jobs.session.script import parameters
from supabase_jobs.verify import ownership
from supabase_jobs.verify.ownership import UserObjectConflict

_RUNNING = sql_file(Path(__file__).with_name("running.sql"))


@dataclass(frozen=True)
class Running:
    """An object of the project that runs when a row of a managed table is written: a trigger with
    its function, or a constraint, generated column or index that computes with its values.
    """

    name: str
    function: str
    text: str
    is_constraint: bool
    table: str
    kind: str
    part: str

    @property
    def id(self) -> Id:
        """The id of the finding that no migration creates it."""
        return Id("structure", self.table, self.kind, self.part)


Refused = Mapping[str, UserObjectConflict]


def refused(
    impersonation: Impersonation,
    created: Sequence[Statement],
    users: Collection[str],
    statements: Sequence[str],
    managed: Collection[str],
) -> Refused | None:
    """The ids of the rows that objects of the project refuse, and of the rows that need them, each
    with what refuses it; None if something else refuses a row.

    `created` are the statements that create the `users`. Everything is undone.
    """
    connection = impersonation.connection
    try:
        run_groups(connection, [created])[0].answer()
        return _Rows(impersonation, users, managed).refused(statements)
    finally:
        if not connection.broken:
            run_groups(connection, [[FIXTURE.undo]])[0].answer()


def conflict_of(
    connection: Connection, error: psycopg.Error, managed: Collection[str]
) -> UserObjectConflict | None:
    """The object of the project that refuses a row: a constraint or a column, or the triggers whose
    functions were running; without a function, what computes with values if a value is wrong or
    too long, or else the triggers, whose conditions may. None if there is none.

    Queries the catalogs, so the transaction must not be in a failed state.
    """
    conflict = ownership.user_object_conflict(connection, error, managed)
    # a function that raises this error itself names no table
    is_foreign_key = isinstance(error, psycopg.errors.ForeignKeyViolation)
    if conflict is not None or (is_foreign_key and error.diag.table_name):
        return conflict
    objects = running(connection, managed)
    called = ownership.functions_of(error)
    found = [one for one in objects if one.function in called]
    if not found and isinstance(error, (psycopg.DataError, psycopg.errors.ProgramLimitExceeded)):
        found = [one for one in objects if not one.function]
    if not found and not called and not isinstance(error, psycopg.errors.InsufficientPrivilege):
        found = [one for one in objects if one.function]
    if not found:
        return None
    names = [one.name for one in found]
    why = f"it failed with {sqlstate_and_message(error)}, and objects of the project run"
    return UserObjectConflict(
        why=f"{why}: {', '.join(names)}",
        fix=f"Production writes run {' and '.join(names)} too.",
        texts=tuple(one.text for one in found),
        refusing=frozenset(one.part for one in found),
    )


def running(connection: Connection, managed: Collection[str]) -> list[Running]:
    """The triggers, constraints and indexes of the project that run for rows of managed tables."""
    rows = _RUNNING.rows(connection, list(managed))
    return [
        Running(
            name=name,
            function=function,
            text=text,
            is_constraint=is_constraint,
            table=table,
            kind=kind,
            part=part,
        )
        for name, function, text, is_constraint, table, kind, part in rows
    ]


class _Rows:
    """The rows of a fixture while they are inserted: the ids of those that are there, and of those
    that are refused.
    """

    def __init__(
        self, impersonation: Impersonation, users: Collection[str], managed: Collection[str]
    ) -> None:
        self._impersonation = impersonation
        self._connection = impersonation.connection
        self._ids = impersonation.ids
        self._managed = managed
        self._present = {*users}
        self._refused: dict[str, UserObjectConflict] = {}

    def refused(self, statements: Sequence[str]) -> Refused | None:
        """Run each statement; one that fails, or that names refused rows, for each of its rows."""
        for statement in statements:
            used = parameters(statement)
            names = [name for name in self._ids if name in used]
            new = [name for name in names if name not in self._present | self._refused.keys()]
            needed = [name for name in names if name not in new]
            is_whole = self._refused.keys().isdisjoint(names) and self._run_whole(statement)
            if not is_whole and not self._run_each(statement, new, needed):
                return None
            self._present.update(name for name in names if name not in self._refused)
        return self._refused

    def _run_whole(self, statement: str) -> bool:
        [result] = run_kept(self._connection, [self._steps(statement, self._ids)])
        return result.error is None

    def _run_each(self, statement: str, new: Sequence[str], needed: Sequence[str]) -> bool:
        """Run a statement for each of its `new` rows, or for each that it changes: the ids of the
        others are null. Returns whether every failure is one of an object of the project.
        """
        rows, others = (new, needed) if new else (needed, [])
        steps = [self._steps(statement, [*others, row]) for row in rows]
        for row, result in zip(rows, run_kept(self._connection, steps), strict=True):
            if result.error is None and (result.answers[0].count or not new):
                continue
            conflict = self._conflict(result, needed)
            if conflict is None:
                return False
            self._refused.setdefault(row, conflict)
        return True

    def _steps(self, statement: str, names: Collection[str]) -> list[Statement]:
        """The statement for the rows of these names, and what a commit would check."""
        kept = {name for name in names if name not in self._refused}
        values = {name: id if name in kept else None for name, id in self._ids.items()}
        return [Statement(statement, values), *committed(self._impersonation)]

    def _conflict(self, result: GroupResult, needed: Sequence[str]) -> UserObjectConflict | None:
        """The object of the project that refuses a row, or None."""
        if isinstance(result.error, psycopg.OperationalError):
            raise result.error
        if result.error is not None:
            return conflict_of(self._connection, result.error, self._managed)
        return next((self._refused[name] for name in needed if name in self._refused), None)
