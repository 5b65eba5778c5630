"""Reads attempts on rows of tables as facts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy

from psycopg import errors

from supabase_jobs.audit.catalog import Constraint
from supabase_jobs.audit.facts.attempts import Tried, TriedRow, Written
from supabase_jobs.audit.probes.attempt import CHOOSE, INSERT, JOIN, SELECT, START, UPDATE, Attempt
from supabase_jobs.audit.reading.actors import Actors
from supabase_jobs.audit.reading.tables import Tables
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import Row


class Attempts:
    """The attempts of callers on rows, which have numbers."""

    def __init__(self, plan: Plan, tables: Tables, actors: Actors) -> None:
        self._plan, self._tables, self._actors = plan, tables, actors
        self._rows: dict[int, int] = {}
        self._rows_above: dict[int, Sequence[int]] = {}
        self._named: dict[tuple[object, ...], int] = {}
        self._parts: dict[int, list[int]] = {}
        self._kept: list[Row] = []  # whose ids are keys

    def again(self, plan: Plan, tables: Tables) -> "Attempts":
        """The same numbers of rows and actors, with the tables after a change."""
        again = copy(self)
        again._plan, again._tables = plan, tables
        return again

    def of(self, number: int, attempt: Attempt, rows: Mapping[int, Sequence[Row]]) -> Tried:
        """An attempt on a row. `rows` are those of each table that some caller tried to read."""
        return Tried(
            number=number,
            actor=self._actors.of(attempt.caller),
            table=self._tables.of(attempt.relation),
            state=attempt.row.part,
            whose=attempt.whose,
            action=attempt.action,
            name=attempt.name,
            column=attempt.column,
            value=attempt.value or "",
            outcome=attempt.outcome,
            failed=self._has_failed(attempt),
            error_shows_row=_shows_row(attempt),
            on=self._row(attempt, rows),
            written=Written(
                names_nobody=self._names_nobody(attempt),
                refers_to=[self.number(row) for row in _parent_rows(attempt, rows)],
                names=_named(attempt),
                takes_role=self._taken_role(attempt),
                chosen=attempt.written.get(attempt.column) if attempt.action == INSERT else None,
            ),
            deciding=attempt.deciding,
        )

    def _row(self, attempt: Attempt, rows: Mapping[int, Sequence[Row]]) -> TriedRow:
        """The row of an attempt."""
        row = attempt.row
        bucket = row.values.get("bucket_id") if attempt.relation.is_storage else None
        return TriedRow(
            number=self.number(row),
            people=self._people(row),
            part_of=self._part_of(row, rows),
            below=[] if attempt.action == INSERT else self._above(row, rows),
            state_of="" if row.state_of is None else row.state_of.label,
            bucket=bucket or "",
        )

    def number(self, row: Row) -> int:
        """The number of a row."""
        if id(row) not in self._rows:
            self._kept.append(row)
            self._rows[id(row)] = len(self._rows)
        return self._rows[id(row)]

    def _above(self, row: Row, rows: Mapping[int, Sequence[Row]]) -> Sequence[int]:
        """The rows to which a row refers."""
        known = self._rows_above.get(id(row))
        if known is None:
            keys = row.relation.foreign_keys
            known = [self.number(one) for key in keys for one in _referred(key, row.values, rows)]
            self._rows_above[id(row)] = known
        return known

    def _taken_role(self, attempt: Attempt) -> str:
        """The most powerful role of a group, if a new membership of the caller has it, and policies
        or functions tell it from weaker ones.
        """
        membership = self._plan.memberships.get(attempt.relation.oid)
        if attempt.name != JOIN or membership is None or membership.role is None:
            return ""
        roles, key = membership.roles, (attempt.relation.oid, membership.role)
        compared = self._plan.usage.constants.literals.get(key, ())
        is_taken = len(roles) > 1 and attempt.written.get(membership.role) == roles[0]
        return roles[0] if is_taken and roles[0] in compared else ""

    def _has_failed(self, attempt: Attempt) -> bool:
        """Whether an attempt ended with an error: not if a copy of a row, or one that is moved,
        only lacks another row above it, such as the second answer to one question.
        """
        is_copy = attempt.name in (CHOOSE, START)
        is_copy |= attempt.name == "" and attempt.action == UPDATE
        if not isinstance(attempt.error, errors.UniqueViolation) or not is_copy:
            return attempt.error is not None
        relation, name = attempt.relation, attempt.error.diag.constraint_name
        persons = user_columns(relation, self._plan.usage, self._plan.per_user)
        above = {n for key in relation.foreign_keys for n in key.columns} - {*persons}
        if attempt.action == UPDATE:
            above &= {attempt.column}
        keys = [c.columns for c in relation.constraints if c.name == name]
        return not any(above.intersection(columns) for columns in keys)

    def _names_nobody(self, attempt: Attempt) -> bool:
        """Whether the table has columns for the owner of a row, and an inserted row fills none."""
        table = self._tables.of(attempt.relation)
        columns = {*table.persons.users, *table.persons.claims, *table.persons.headers}
        is_insert = attempt.action == INSERT and attempt.sent is not None
        return is_insert and bool(columns) and columns.isdisjoint(attempt.written)

    def _people(self, row: Row) -> int:
        """The number of the rows of a table that name the same users."""
        users = user_columns(row.relation, self._plan.usage, self._plan.per_user)
        named = (row.relation.oid, *(row.values.get(name) for name in users))
        return self._named.setdefault(named, len(self._named))

    def _part_of(self, row: Row, rows: Mapping[int, Sequence[Row]]) -> Sequence[int]:
        """The rows of which a row is a part."""
        if id(row) not in self._parts:
            found = self._parts[id(row)] = list[int]()
            for key in self._tables.part_keys(row.relation):
                pairs = list(zip(key.columns, key.target_columns, strict=True))
                for above in rows.get(key.target or 0, ()):
                    if all(row.values.get(own) == above.values.get(at) for own, at in pairs):
                        found.append(self.number(above))
        return self._parts[id(row)]


def rows_by_table(attempts: Iterable[Attempt]) -> dict[int, list[Row]]:
    """Table → the rows that a caller tried to read."""
    found: dict[int, dict[int, Row]] = {}
    for attempt in attempts:
        if attempt.action == SELECT:
            found.setdefault(attempt.relation.oid, {})[id(attempt.row)] = attempt.row
    return {oid: list(rows.values()) for oid, rows in found.items()}


def _parent_rows(write: Attempt, rows: Mapping[int, Sequence[Row]]) -> Iterator[Row]:
    """The rows to which an inserted row refers, or an updated one by the column that is set."""
    if write.action not in (INSERT, UPDATE) or not write.reached:
        return
    written = {**write.row.values, **write.written} if write.action == UPDATE else write.written
    for key in write.relation.foreign_keys:
        if write.action == UPDATE and write.column not in key.columns:
            continue
        yield from _referred(key, written, rows)


def _referred(
    key: Constraint, values: Mapping[str, str | None], rows: Mapping[int, Sequence[Row]]
) -> Iterator[Row]:
    """The rows to which a foreign key refers."""
    pairs = list(zip(key.columns, key.target_columns, strict=True))
    for row in rows.get(key.target or 0, ()):
        if all(values.get(own) == row.values.get(at) for own, at in pairs):
            yield row


def _named(attempt: Attempt) -> list[str]:
    """The columns with the caller as their default to which an inserted row gives another user."""
    if attempt.action != INSERT:
        return []
    caller = None if attempt.caller.user is None else attempt.caller.user.id
    columns = [column.name for column in attempt.relation.columns if column.is_caller]
    return [name for name in columns if attempt.written.get(name) not in (None, caller)]


def _shows_row(attempt: Attempt) -> bool:
    """Whether the error of an attempt contains the token of its row."""
    if attempt.error is None or not attempt.row.token:
        return False
    diag = attempt.error.diag
    text = f"{diag.message_primary} {diag.message_detail or ''} {diag.message_hint or ''}"
    return attempt.row.token in text
