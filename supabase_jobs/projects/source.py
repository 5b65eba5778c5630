"""Roles, settings and extensions of a database that is copied, from its catalogs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from supabase_jobs.database.batch import Statement, read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_files
from supabase_jobs.session.settings import SETTINGS

_QUERIES = sql_files(Path(__file__).with_name("source"))
# the queries of `read_dumped`
_DUMPED = ("unreadable", "questions")
_STAND_INS = sql_files(Path(__file__).with_name("stand_ins"))
# in the order of their dependencies
_CREATED = (
    "schemas",
    "schema_privileges",
    "types",
    "relations",
    "relation_privileges",
    "records",
    "functions",
    "function_privileges",
    "wrappers",
    "servers",
)


@dataclass(frozen=True)
class Role:
    """A role, and the statement that creates it in the copy."""

    name: str
    is_superuser: bool
    statement: str


@dataclass(frozen=True)
class Setting:
    """The statement that makes a setting; `custom` is the value if the project defines it."""

    statement: str
    custom: str | None


@dataclass(frozen=True)
class Extension:
    """An extension, its schema, and the schemas that belong to it."""

    name: str
    schema: str
    schemas: Sequence[str]


@dataclass(frozen=True)
class StandIn:
    """A statement that creates something in place of what cannot be restored.

    `extension` is None for an object that belongs to none.
    """

    extension: str | None
    statement: str


@dataclass(frozen=True)
class Dumped:
    """The patterns of the tables that this role may not read, with their names, and the questions
    about single objects that pg_dump will ask.
    """

    unreadable: Mapping[str, str]
    questions: Sequence[str]


# object and property → its value: what the copy has in common with the original
Parts = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Source:
    """A database to copy."""

    name: str
    owner: str
    roles: Sequence[Role]
    memberships: Sequence[str]
    settings: Sequence[Setting]
    extensions: Sequence[Extension]
    stand_ins: Sequence[StandIn]
    database_privileges: Sequence[str]
    parts: Parts

    @property
    def acting(self) -> Sequence[str]:
        """The roles that act for all others in the copy: its owner, and former superusers."""
        superusers = [role.name for role in self.roles if role.is_superuser]
        return list(dict.fromkeys([self.owner, *superusers]))


def read_dumped(connection: Connection) -> Dumped:
    """Read the arguments of `dump.schema`, in one round trip. Raises psycopg's errors."""
    unreadable, questions = _read(connection, [_QUERIES[name].statement() for name in _DUMPED])
    return Dumped(dict(unreadable), [question for (question,) in questions])


def read_source(connection: Connection) -> Source:
    """Read the catalogs, in one transaction and one round trip. Raises psycopg's errors."""
    names = sorted(_QUERIES.keys() - set(_DUMPED))
    facts = [_QUERIES[name].statement() for name in names]
    stand_ins = [_STAND_INS[name].statement() for name in _CREATED]
    rows = _read(connection, [*facts, *stand_ins])
    found = dict(zip(names, rows, strict=False))
    [(name, owner)] = found["database"]
    return Source(
        name=name,
        owner=owner,
        roles=[Role(*row) for row in found["roles"]],
        memberships=[statement for (statement,) in found["memberships"]],
        settings=[Setting(*row) for row in found["settings"]],
        extensions=[Extension(*row) for row in found["extensions"]],
        database_privileges=[statement for (statement,) in found["database_privileges"]],
        parts=_parts(found["compared"]),
        stand_ins=[StandIn(*row) for made in rows[len(facts) :] for row in made],
    )


def read_parts(connection: Connection) -> Parts:
    """The properties of another database that `Source.parts` compares. Raises psycopg's errors."""
    [rows] = _read(connection, [_QUERIES["compared"].statement()])
    return _parts(rows)


def _read(
    connection: Connection, statements: Sequence[Statement]
) -> list[Sequence[tuple[Any, ...]]]:
    """The rows of each statement, in a transaction that only reads."""
    assert connection.info.transaction_status == TransactionStatus.IDLE  # noqa: S101
    start = [Statement("begin read only"), Statement(SETTINGS)]
    try:
        answers = read(connection, [*start, *statements, Statement("rollback")])
    except psycopg.Error:
        if not connection.broken:
            connection.rollback()  # what follows can then ask who holds a lock
        raise
    return answers[len(start) : -1]


def _parts(rows: Sequence[Sequence[Any]]) -> Parts:
    return {(str(object_), str(part)): str(value) for object_, part, value in rows}
