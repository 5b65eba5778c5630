"""Attempts of callers on rows of tables, and their outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE
from supabase_jobs.audit.rows.held_role import NO_ROLES, DecidingRoles
from supabase_jobs.findings import AccessObject, Clause, RowState
from supabase_jobs.outcomes import ROWS

ACTIONS = (SELECT, INSERT, UPDATE, DELETE)


@dataclass(frozen=True, eq=False, kw_only=True)
class TriedRow:
    """The row of an action. `number` is equal for actions on the same row, `people` for rows of a
    table that name the same users. `part_of` are the rows of which it is a part, `below` those
    above it, if it exists. `state_of` is the table that its state is about, '' for another row,
    `bucket` that of a file.
    """

    number: int = 0
    people: int = 0
    part_of: Sequence[int] = ()
    below: Sequence[int] = ()
    state_of: str = ""
    bucket: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Written:
    """The persons and rows that an action writes into a row.

    `names_nobody`: an inserted row that has no user, claim or header. `refers_to` are the rows to
    which an inserted row refers, or an updated one by its column. `names` are the columns with the
    caller as their default to which an inserted row gives another user. `takes_role` is the most
    powerful role of a group, if an inserted membership of the caller has it and there are weaker
    ones. `chosen` is the value of the column that an inserted row is about.
    """

    names_nobody: bool = False
    refers_to: Sequence[int] = ()
    names: Sequence[str] = ()
    takes_role: str = ""
    chosen: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Tried:
    """An action of a caller on a row of a table. `number` is its place among all that were tried.

    `state` is that of a further row, or the bucket of a file. `whose` is the owner of the row, seen
    by the caller. `name` is that of a special attempt, such as join. An update sets `column` to
    `value`. `failed`: it ended with an error, also if a policy let it pass. `error_shows_row`: the
    error contains the generated text of the row. `deciding` are the roles that decide.
    """

    number: int
    actor: Actor
    table: Table
    state: RowState | None
    whose: str
    action: str
    name: str = ""
    column: str = ""
    value: str = ""
    outcome: str
    failed: bool = False
    error_shows_row: bool = False
    on: TriedRow = TriedRow()
    written: Written = Written()
    deciding: DecidingRoles = NO_ROLES

    @property
    def row(self) -> int:
        """The number of the row."""
        return self.on.number

    @cached_property
    def object(self) -> str:
        """The table, with the bucket or the state of the row, as findings print it."""
        return str(AccessObject(self.table.label, self.state))

    @property
    def is_state(self) -> bool:
        """Whether the row is a further row of a table, in another state."""
        return self.state is not None and not self.table.is_storage

    @property
    def conditions(self) -> Sequence[Clause]:
        """The conditions of the state of the row."""
        return () if self.state is None else self.state.columns

    @property
    def reached(self) -> bool:
        """Whether the action reached its target."""
        return self.outcome == ROWS


@dataclass(frozen=True, eq=False)
class Opened:
    """An action on a row of a table that a permitted write opened to its caller."""

    write: Tried
    table: str
    row: int
    action: str
