"""An audit of a random schema beside the evaluation of the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.evidence import Evidence
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.probes.attempt import START, Attempt
from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Audit
from tests.audit.random_schemas.evaluation import Person, Row, Truth
from tests.audit.random_schemas.schema import (
    API_ROLES,
    COMMANDS,
    DELETE,
    INSERT,
    SELECT,
    UPDATE,
    Schema,
    Table,
)

# the widest first; `inside`: the owner of a row, or its group
REACHES = ("all", "users", "inside", "none")
_REACH = {"own": "inside", "group": "inside"}
_CONCLUSIVE = ("rows", "hidden", "denied", "violates")


@dataclass
class Comparison:
    """The counts of an audit, and each cell that differs from the evaluation."""

    tables: int = 0
    planted: int = 0
    attempts: int = 0
    inconclusive: int = 0
    cells: int = 0
    differing: list[str] = field(default_factory=list)

    def add(self, other: "Comparison") -> None:
        """Add the counts of another audit."""
        self.tables += other.tables
        self.planted += other.planted
        self.attempts += other.attempts
        self.inconclusive += other.inconclusive
        self.cells += other.cells
        self.differing += other.differing


class _Recorded:
    """The attempts of an audit, and all rows while they exist."""

    def __init__(self, connection: Connection, schema: Schema) -> None:
        self._connection, self._schema = connection, schema
        self.rows: dict[str, list[Row]] = {}
        self.attempts: list[Attempt] = []

    def record(self, evidence: Evidence) -> None:
        """Keep what the audit tried, and read the rows."""
        self.attempts = [a for a in evidence.attempts if a.relation.schema == "public"]
        self.rows = {table.name: self._read(table) for table in self._schema.all}

    def _read(self, table: Table) -> list[Row]:
        columns = sql.SQL(", ").join(
            sql.SQL("{}::text").format(sql.Identifier(name)) for name in table.names
        )
        query = sql.SQL("select {} from public.{}").format(columns, sql.Identifier(table.name))
        rows = self._connection.execute(query).fetchall()
        return [dict(zip(table.names, row, strict=True)) for row in rows]


def compare(connection: Connection, schema: Schema, *, repairs: bool) -> Comparison:
    """Create a schema and audit it; everything is undone. With `repairs`, they are tried too, which
    takes most of the time.
    """
    recorded = _Recorded(connection, schema)
    options = Options(record=recorded.record, repairs=repairs)
    with connection.transaction(force_rollback=True):
        connection.execute(schema.sql().encode())
        result = audit(connection, options)
    truth = Truth(schema, recorded.rows)
    found = Comparison(result.tables, result.planted)
    tables = {table.name: table for table in schema.all}
    for attempt in recorded.attempts:
        _compare_attempt(found, truth, tables[attempt.relation.name], attempt)
    if found.planted == found.tables:
        _compare_matrix(found, truth, recorded.attempts, result, tables)
    return found


def person_of(attempt: Attempt) -> Person:
    """The caller of an attempt, as the grammar's policies see it."""
    claims = attempt.caller.claims or {}
    metadata = claims.get("app_metadata") or {}
    return Person(
        role=attempt.caller.role,
        id=claims.get("sub"),
        claim=metadata.get("role"),
        organization=metadata.get("org_id"),
    )


def _compare_attempt(found: Comparison, truth: Truth, table: Table, attempt: Attempt) -> None:
    """Compare the outcome of a statement."""
    if attempt.outcome not in _CONCLUSIVE:
        found.inconclusive += 1
        return
    found.attempts += 1
    if attempt.reached == _may(truth, table, person_of(attempt), attempt):
        return
    name = f" ({attempt.name})" if attempt.name else ""
    found.differing.append(
        f"{attempt.caller.label}: {attempt.action}{name} of {attempt.whose} rows of {table.name}:"
        f" {attempt.outcome}; {dict(attempt.row.values)}; {attempt.written}"
    )


def _may(truth: Truth, table: Table, person: Person, attempt: Attempt) -> bool:
    row = attempt.row.values
    if attempt.name == START:  # counts only if the writer cannot change the value afterwards
        change = {attempt.column: attempt.written[attempt.column]}
        if not truth.may_insert(person, table, attempt.written):
            return False
        after = truth.after_insert(person, table, attempt.written)
        new = truth.new_row(person, table, attempt.written)
        is_seen = after.may_read(person, table, new)  # the change has a condition
        return not (is_seen and after.may_update(person, table, new, change))
    if attempt.action == INSERT:
        return truth.may_insert(person, table, attempt.written)
    if attempt.action == SELECT:
        return truth.may_read(person, table, row)
    if attempt.action == DELETE:
        return truth.may_delete(person, table, row)
    return bool(attempt.written) and truth.may_update(person, table, row, attempt.written)


def _compare_matrix(
    found: Comparison,
    truth: Truth,
    recorded: Sequence[Attempt],
    result: Audit,
    tables: Mapping[str, Table],
) -> None:
    """Compare each cell of the matrix: the widest group of people who may do something.

    A cell is left out if constraints refused an attempt, or if a role may only change whose a row
    is.
    """
    people = {person_of(one) for one in recorded if one.caller.role != "service_role"}
    refused = {(a.relation.name, a.action) for a in recorded if a.outcome not in _CONCLUSIVE}
    shown: dict[str, list[Mapping[str, str]]] = {}
    for summary in result.summaries:  # further states of rows have lines of their own
        shown.setdefault(summary.object.label, []).append(summary.access)
    for name, table in tables.items():
        for action in COMMANDS:
            is_clear = action != UPDATE or all(truth.has_content(r, table) for r in API_ROLES)
            if (name, action) in refused or not is_clear:
                continue
            expected = truth.reach(people, table, action)
            given = [access[action] for access in shown[f"public.{name}"]]
            reaches = [_REACH.get(one, one) for one in given]
            found.cells += 1
            if min(reaches, key=REACHES.index) != expected:
                found.differing.append(f"matrix: {action} of {name}: {given}, but {expected}")
