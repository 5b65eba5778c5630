"""Distinguish user objects from managed objects: those that the migrations create."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import named_objects, public_message
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Severity
from supabase_jobs.verify import other_values
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.structure import snapshot

_USER_OBJECT = Path(__file__).with_name("user_object.sql")
# the kinds of objects that refuse rows
_REFUSING = ("constraint", "index", "trigger", "column")
# in the context of an error
_FUNCTION = re.compile(r'function (?:"?\w+"?\.)?"?(\w+)"?\(')
# "Partition key of the failing row contains (at) = (2026-11-30 …)."
_TIME_OF_KEY = re.compile(r"\) = \((\d{4}-\d\d-\d\d)\b")
_KEY_ACTION = re.compile(r'^SQL statement "(?:UPDATE|DELETE FROM) ONLY ', flags=re.MULTILINE)


def managed_relations(expectations: Expectations) -> frozenset[str]:
    """The managed tables and views."""
    recorded = _snapshot(expectations)
    return frozenset(() if recorded is None else recorded.scope["relations"])


def managed_objects(expectations: Expectations) -> frozenset[str]:
    """The managed tables and views, their constraints, indexes, triggers and columns, each as
    `table:name`, and the managed functions, each as `name()`.
    """
    recorded = _snapshot(expectations)
    facts = () if recorded is None else recorded.all_facts
    parts = {f"{fact.object}:{fact.name}" for fact in facts if fact.kind in _REFUSING}
    functions = {_called(fact.object) for fact in facts if fact.kind == "function"}
    return managed_relations(expectations) | parts | functions


def _called(function: str) -> str:
    """A function without its schema and arguments, which the context of an error may leave out."""
    return function.partition("(")[0].rpartition(".")[2].replace('"', "") + "()"


def managed_names(expectations: Expectations) -> frozenset[str]:
    """The managed tables, views, functions and schemas."""
    recorded = _snapshot(expectations)
    return frozenset(() if recorded is None else recorded.names)


@dataclass(frozen=True)
class ManagedTables:
    """The columns of each managed table, and the managed triggers, each as `table:name`."""

    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    triggers: frozenset[str] = frozenset()


def managed_tables(expectations: Expectations) -> ManagedTables:
    """The columns and triggers of the managed tables."""
    recorded = _snapshot(expectations)
    facts = () if recorded is None else recorded.all_facts
    columns: dict[str, frozenset[str]] = {}
    for fact in facts:
        if fact.kind == "column":
            columns[fact.object] = columns.get(fact.object, frozenset()) | {fact.name}
    return ManagedTables(
        columns, frozenset(f"{fact.object}:{fact.name}" for fact in facts if fact.kind == "trigger")
    )


def _snapshot(expectations: Expectations) -> snapshot.Snapshot | None:
    """The recorded structure with the objects of the sources that the project installs."""
    file = expectations.declaration(snapshot.FILE_NAME)
    if not file.is_file():
        return None
    return snapshot.load(file).with_variables(expectations.variables)


@dataclass(frozen=True)
class UserObjectConflict:
    """A user object that blocks a probe: why the probe shows nothing, a hint, and the texts and the
    names of what refused it.

    `of_managed`: it refuses what a managed function or foreign key writes, so these fail in
    production too. Otherwise it refuses what the probe writes. `of_all_owners`: a unique index that
    does not tell owners apart, so that a row of one refuses those of others. `of_rows`: a foreign
    key, from a table of the project or from a column of ids, asks for rows that only the project
    makes or deletes. One from a column of other values, such as the states of jobs, refuses all.
    `of_children`: rows of the project refer to the one that is deleted.
    `checked`: the managed columns of a check constraint that has no others. `of_all_inserts`: a
    column of the project that must not be null, and that nothing fills, or a row that no request
    may insert. `of_now`: a partitioned
    table that has no partition for the present time.
    """

    why: str
    fix: str
    texts: tuple[str, ...] = ()
    refusing: frozenset[str] = frozenset()
    of_managed: bool = False
    of_all_owners: bool = False
    of_rows: bool = False
    of_children: bool = False
    checked: tuple[str, ...] = ()
    of_all_inserts: bool = False
    of_now: bool = False

    def refuses_every(self, insert: str) -> bool:
        """Whether it looks only at columns that an insert leaves to their defaults, or at the
        time. The insert is the text of a declaration, which is a file.
        """
        if self.of_now:
            return True
        names = [re.escape(column.rpartition(":")[2]) for column in self.checked]
        return bool(names) and not re.search(rf"\b({'|'.join(names)})\b", insert)

    @property
    def severity(self) -> Severity:
        """An error if production cannot work with it; otherwise the probe shows nothing."""
        fails = self.of_managed or self.of_all_owners or self.of_all_inserts
        return Severity.ERROR if fails else Severity.WARNING


def user_object_conflict(
    connection: Connection, error: psycopg.Error, managed: Collection[str]
) -> UserObjectConflict | None:
    """The conflict, if a table or constraint that is not among `managed` raised the error.

    Queries the catalogs, so the transaction must not be in a failed state. None if `managed` is
    empty.
    """
    if (
        not managed
        or not isinstance(error, psycopg.IntegrityError)
        or named_objects(error).table is None
    ):
        return None
    named = named_objects(error)
    rows = sql_file(_USER_OBJECT).rows(
        connection, named.schema, named.table, named.constraint or named.column, list(managed)
    )
    if not rows:
        return None
    [row] = rows
    table, whole_table, of_all_owners, of_managed_rows, checked, nullable, closed_parent = row
    checked = tuple(checked) if set(checked) <= set(managed) else ()
    constraint = (
        f'constraint "{named.constraint}" of {table}'
        if named.constraint
        else f'the NOT NULL constraint of column "{named.column}" of {table}'
    )
    blocking = f"table {table}" if whole_table else constraint
    failure = f"{error.sqlstate} ({public_message(error)})"
    why = f"it failed with {failure}, and {blocking} is a user object"
    texts = tuple(other_values.refusing(connection, error, managed))
    refusing = frozenset(filter(None, (named.constraint, named.column)))
    conflict = partial(UserObjectConflict, refusing=refusing)
    is_foreign_key = isinstance(error, psycopg.errors.ForeignKeyViolation)
    if is_foreign_key and of_managed_rows and not whole_table:
        fix = f"Drop {constraint}, or let it have ON DELETE CASCADE."
        return conflict(why=why, fix=fix, texts=texts, of_managed=True)
    if is_foreign_key and (whole_table or not of_all_owners):
        if closed_parent and not whole_table:
            why = (
                f"{why}: no sign-up makes the row of {closed_parent}, and no request may insert it"
            )
            fix = f"Let a trigger of the sign-up insert the row of {closed_parent}."
            return conflict(why=why, fix=fix, of_all_inserts=True)
        fix = f"Production deletes hit {constraint} too. Consider ON DELETE CASCADE."
        return conflict(why=why, fix=fix, of_rows=True, of_children=whole_table)
    if of_all_owners and isinstance(error, psycopg.errors.UniqueViolation):
        why = f"{why} that does not tell owners apart: a row of one owner refuses those of others"
        fix = f"Drop {constraint}, or add the column of the owner to it."
        return conflict(why=why, fix=fix, texts=texts, of_all_owners=True)
    if nullable and not whole_table and isinstance(error, psycopg.errors.NotNullViolation):
        why = f"{why}: no documented call fills it, nor does a default"
        return conflict(why=why, fix=nullable, of_all_inserts=True)
    if not _is_written_by_managed(error, managed):
        fix = f"Production writes hit {constraint} too."
        return conflict(
            why=why, fix=fix, texts=texts, checked=checked, of_now=_misses_partition_of_now(error)
        )
    fix = f"It fails in production too. Drop {constraint}, or let it accept these rows."
    return conflict(why=why, fix=fix, texts=texts, of_managed=True)


def _misses_partition_of_now(error: psycopg.Error) -> bool:
    """Whether a partitioned table has no partition for the present time."""
    if not isinstance(error, psycopg.errors.CheckViolation) or error.diag.constraint_name:
        return False
    key = _TIME_OF_KEY.search(error.diag.message_detail or "")
    if key is None:
        return False
    distance = date.fromisoformat(key[1]) - datetime.now(UTC).date()
    return abs(distance) <= timedelta(days=1)  # the time zone of the server is another one


def _is_written_by_managed(error: psycopg.Error, managed: Collection[str]) -> bool:
    """Whether a managed function, or the action of a foreign key, has run the statement."""
    context = error.diag.context or ""
    if _KEY_ACTION.search(context):
        return True
    called = {f"{name}()" for name in functions_of(error)}
    return not called.isdisjoint(managed)


def functions_of(error: psycopg.Error) -> set[str]:
    """The names of the functions that ran when an error was raised, without their schemas."""
    return set(_FUNCTION.findall(error.diag.context or ""))
