"""Attempts: statements that a caller runs, each from the same state of the rows."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg import errors

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.rows.held_role import NO_ROLES, DecidingRoles
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.findings import AccessObject
from supabase_jobs.outcomes import CLOSED, ROWS
from supabase_jobs.session import script
from supabase_jobs.session.action import Action, Change, texts
from supabase_jobs.session.outcome import outcome_of_count, outcome_of_error
from supabase_jobs.session.request import Request, equal, to_file, to_table
from supabase_jobs.session.runner import Tried

OWN, GROUP, OTHER, NONE = "own", "group", "other", "none"
SELECT, INSERT, UPDATE, DELETE = "select", "insert", "update", "delete"
# names of attempts: a row of one's own in another's group, under another's name, taken from
# another, in a state that may open something, or an invitation that is accepted with another role
JOIN, FORGE, TAKE_OVER, OPEN, ACCEPT = "join", "forge", "take over", "open", "accept"
# a new row of one's own: with another value of a column, below one row of another, naming another
# person, or another person in one's own group
CHOOSE, BELOW, NAME, ADD = "choose", "below", "name", "add"
# a new row of one's own that starts with a value of a column that only others change afterwards
START = "start"
# a file of one's own that is moved into the folder of another
MOVE = "move"
# a state of one's own row, such as active = false, that is set back, or to that of others
RESTORE = "restore"
# a new row of one's own that names the caller in a column more, who then changes what is refused to
# them if it names a colleague
DECIDE = "decide"
# a change of one's own row that ends a state which others have set
LEAVE = "leave"
# those that a baseline does not record, because leaks and questions tell what they show
UNRECORDED = (OPEN, ACCEPT, CHOOSE, BELOW, NAME, ADD, MOVE, START, RESTORE, DECIDE, LEAVE)
_KEPT = (errors.ForeignKeyViolation, errors.RestrictViolation)
# the statement by which a foreign key deletes or changes the rows that refer to a row; triggers
# have more frames
_CASCADE = re.compile(r'"(DELETE FROM|UPDATE) ONLY ')


class AnyAttempt(Tried, Protocol):
    """One thing that a caller tries: on a row, on a view or function, or on a topic.

    It prints itself as the statements of a batch, as a script for psql and as a request.
    """

    outcome: str

    @property
    def caller(self) -> Persona:
        """Who tries it."""
        ...

    @property
    def target(self) -> AccessObject:
        """The object."""
        ...

    @property
    def label(self) -> str:
        """The object, as reports name it."""
        ...

    @property
    def whose(self) -> str:
        """The owner of the rows, seen by the caller."""
        ...

    @property
    def action(self) -> str:
        """One of select, insert, update, delete and call."""
        ...

    @property
    def detail(self) -> str:
        """Its column, or the kind of message; '' without one."""
        ...

    @property
    def does(self) -> str:
        """The action, with its detail."""
        ...

    def script(self) -> str:
        """The action for psql; '' if it was denied without a statement."""
        ...

    def request(self, default_schema: str) -> Request | None:
        """The request to an API that serves this schema first; None if there is none."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Around:
    """The statements `before` and `after` an action; `others` are their tables and actions.

    They may count rows; then `effect` reads from all answers whether the action has reached its
    row. If `ends_refused`, the last statement may be refused; then it reads those of the others.
    """

    before: Sequence[Statement] = ()
    after: Sequence[Statement] = ()
    effect: Callable[[Sequence[Any]], bool] | None = None
    others: Sequence[tuple[Relation, str]] = ()
    ends_refused: bool = False


@dataclass(eq=False)
class Attempt:
    """One action of a caller on one row. `whose` is the owner of the row, seen by the caller.

    `sent` is the action as a value, None if a missing privilege denies it. `column` and `value`
    belong to an update. A policy has accepted a row that violates only a constraint, or that only a
    foreign key of other rows keeps. `deciding` are the roles that decide.
    """

    caller: Persona
    relation: Relation
    whose: str
    action: str
    row: Row
    sent: Action | None = None
    column: str = ""
    value: str | None = None
    outcome: str = ""
    error: psycopg.Error | None = None
    answers: Sequence[Any] = ()
    name: str = ""
    deciding: DecidingRoles = NO_ROLES
    around: Around = Around()

    @property
    def targets(self) -> Sequence[tuple[Relation, str]]:
        """The tables of its statements, each with the action."""
        return (self.relation, self.action), *self.around.others

    @property
    def target(self) -> AccessObject:
        """The object of the attempt: the table, and of storage.objects the bucket."""
        return AccessObject(self.relation.label, self.row.part)

    @property
    def label(self) -> str:
        """The object, as reports name it."""
        return str(self.target)

    @property
    def detail(self) -> str:
        """The column of an update."""
        return self.column

    @property
    def does(self) -> str:
        """The action, and the column of an update."""
        return f"{self.action} {self.column}" if self.column else self.action

    @property
    def is_state(self) -> bool:
        """Whether the row is a further row of a table, in another state."""
        return self.row.part is not None and not self.relation.is_storage

    @property
    def reached(self) -> bool:
        """Whether the action reached its target."""
        return self.outcome == ROWS

    @property
    def statements(self) -> list[Statement]:
        """The statements that run in order as the caller."""
        if self.sent is None:
            return []
        return [*self.around.before, self.sent.statement, *self.around.after]

    @property
    def opening(self) -> list[Statement]:
        """The statements of the owner that open the cursor on its row, if the action has one."""
        cursor = self.sent.cursor if isinstance(self.sent, Change) else None
        return [] if cursor is None else cursor.opening()

    @property
    def at(self) -> int:
        """The position of the action among the statements."""
        return len(self.around.before)

    @property
    def written(self) -> dict[str, str | None]:
        """The columns that an insert or update assigns."""
        return {} if self.sent is None else texts(self.sent.assigned)

    def read(self, result: GroupResult) -> None:
        """Read the outcome. An error that shows nothing about access is its SQLSTATE."""
        error = result.error
        self.error, self.answers = error, result.answers
        if error is None or self._only_ends_refused(error):
            effect = self.around.effect
            reached = effect(self.answers) if effect else self.answers[0].count
            self.outcome = outcome_of_count(reached)
        elif self._only_violates_a_constraint(error) or self._is_only_referenced(error):
            self.outcome = ROWS
        else:
            self.outcome = outcome_of_error(error)

    def _only_ends_refused(self, error: psycopg.Error) -> bool:
        is_last = len(self.answers) == len(self.statements) - 1
        return self.around.ends_refused and is_last and outcome_of_error(error) in CLOSED

    def script(self) -> str:
        """The statement for psql, after the cursor on its row if it needs one."""
        if self.sent is None:
            return ""
        text = self.sent.script
        opened = "".join(map(script.numbered, self.opening))
        if not opened:
            return text
        return (
            "-- As the owner, before the caller is set: a cursor on the row.\n"
            f"{opened}-- As the caller:\n{text}"
        )

    def request(self, default_schema: str) -> Request:
        """The request, which selects the row by its key."""
        if self.relation.is_storage:
            return self._storage_request()
        writes = self.action in (INSERT, UPDATE)
        query = [] if self.action == INSERT else self._filter()
        if self.action == SELECT:
            query += _selected(self.relation, self.caller.role)
        return to_table(
            self.action,
            self.relation.name,
            self.caller,
            query=query,
            profile=profile_of(self.relation, default_schema),
            values=_body(self.relation, self.written) if writes else None,
        )

    def _storage_request(self) -> Request:
        bucket, name = (self.row.values.get(column) or "" for column in ("bucket_id", "name"))
        return to_file(self.action, bucket, name, self.caller)

    def _filter(self) -> list[tuple[str, str]]:
        """The row's key as a filter; without a readable key, the columns that the role may read."""
        row, role = self.row, self.caller.role
        columns: Sequence[str] = row.key
        is_read = self.action == SELECT
        if not columns or (is_read and not statements.may_read(row, columns, role)):
            columns = statements.known_columns(row, role)
        return [equal(column, row.values[column] or "") for column in columns]

    def _only_violates_a_constraint(self, error: psycopg.Error) -> bool:
        """Whether privileges and policies accepted the row, and a constraint of the table refused
        it afterwards.

        A CHECK constraint shows that only if the action does not depend on the value.
        """
        if self.action not in (INSERT, UPDATE):
            return False
        kinds: tuple[type[psycopg.Error], ...] = (errors.UniqueViolation, errors.ExclusionViolation)
        if self.action == INSERT or self.name == TAKE_OVER:
            kinds = (errors.IntegrityError,)
        if error.diag.constraint_name is None and isinstance(error, errors.CheckViolation):
            return False  # no partition for the row: found before policies are checked
        table = (error.diag.schema_name, error.diag.table_name)
        own = (
            table == (self.relation.schema, self.relation.name) or table in self.relation.partitions
        )
        return isinstance(error, kinds) and own and error.diag.context is None

    def _is_only_referenced(self, error: psycopg.Error) -> bool:
        """Whether privileges and policies accepted the row, and only rows that refer to it keep it.

        A foreign key is checked after the row was changed. So are those of other tables that a
        trigger of this row writes to, but a trigger of the statement runs also if the policies
        leave it no row.
        """
        is_kept = isinstance(error, _KEPT)
        if self.action not in (UPDATE, DELETE) or not is_kept:
            return False
        if is_referenced(error):
            return self.action == DELETE or not self._refers_to(error.diag.constraint_name)
        return self.action == DELETE and not self.relation.statement_triggers

    def _refers_to(self, constraint: str | None) -> bool:
        """Whether an update violates a foreign key of its row, so that the value decides."""
        keys = [key for key in self.relation.foreign_keys if key.name == constraint]
        return any(self.column in key.columns for key in keys)


def is_referenced(error: psycopg.Error) -> bool:
    """Whether rows that refer to the row of a statement keep it, and no trigger has failed."""
    frames = (error.diag.context or "").splitlines()
    return isinstance(error, _KEPT) and all(_CASCADE.search(frame) for frame in frames)


def profile_of(target: Relation | Function, default_schema: str) -> str:
    """The schema of a request; '' for the first one that the API serves."""
    return target.schema if target.schema != default_schema else ""


def _selected(relation: Relation, role: str) -> list[tuple[str, str]]:
    """The columns to read, if a role may read only some of them."""
    readable = [c.name for c in relation.columns if relation.may(role, "SELECT", c.name)]
    if not readable or len(readable) == len(relation.columns):
        return []
    return [("select", ",".join(readable))]


def _body(relation: Relation, written: Mapping[str, str | None]) -> dict[str, Any]:
    """The columns for JSON; PostgreSQL converts texts to the types of the columns."""
    body: dict[str, Any] = {}
    for name, value in written.items():
        is_json = relation.by_name[name].base in ("json", "jsonb") and value is not None
        body[name] = json.loads(value or "") if is_json else value
    return body
