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
from supabase_jobs.session.script import SETTINGS

_QUERIES = sql_files(Path(__file__).with_name("source"))
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
    unreadable: Mapping[str, str]
    stand_ins: Sequence[StandIn]
    database_privileges: Sequence[str]
    parts: Parts

    @property
    def acting(self) -> Sequence[str]:
        """The roles that act for all others in the copy: its owner, and former superusers."""
        superusers = [role.name for role in self.roles if role.is_superuser]
        return list(dict.fromkeys([self.owner, *superusers]))


def read_source(connection: Connection) -> Source:
    """Read the catalogs, in one transaction and one round trip. `unreadable` maps the pattern of a
    table that this role may not read to its name.

    Raises psycopg's errors.
    """
    assert connection.info.transaction_status == TransactionStatus.IDLE  # noqa: S101
    start = [Statement("begin read only"), Statement(SETTINGS)]
    facts = [_QUERIES[name].statement() for name in sorted(_QUERIES)]
    stand_ins = [_STAND_INS[name].statement() for name in _CREATED]
    try:
        answers = read(connection, [*start, *facts, *stand_ins, Statement("rollback")])
    except psycopg.Error:
        if not connection.broken:
            connection.rollback()  # what follows can then ask who holds a lock
        raise
    rows = answers[len(start) : -1]
    found = dict(zip(sorted(_QUERIES), rows, strict=False))
    [(name, owner)] = found["database"]
    return Source(
        name=name,
        owner=owner,
        roles=[Role(*row) for row in found["roles"]],
        memberships=[statement for (statement,) in found["memberships"]],
        settings=[Setting(*row) for row in found["settings"]],
        extensions=[Extension(*row) for row in found["extensions"]],
        unreadable=dict(found["unreadable"]),
        database_privileges=[statement for (statement,) in found["database_privileges"]],
        parts=_parts(found["compared"]),
        stand_ins=[StandIn(*row) for made in rows[len(facts) :] for row in made],
    )


def read_parts(connection: Connection) -> Parts:
    """The properties of another database that `Source.parts` compares. Raises psycopg's errors."""
    start = [Statement("begin read only"), Statement(SETTINGS)]
    rows = read(connection, [*start, _QUERIES["compared"].statement(), Statement("rollback")])
    return _parts(rows[len(start)])


def _parts(rows: Sequence[Sequence[Any]]) -> Parts:
    return {(str(object_), str(part)): str(value) for object_, part, value in rows}
