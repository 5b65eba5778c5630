"""Connections to PostgreSQL, directly or through a pooler.

Poolers reuse server sessions, so connections use no prepared statements and no settings that
outlive a transaction.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import psycopg
from psycopg.conninfo import make_conninfo

from supabase_jobs.database.conninfo import (
    Conninfo,
    connected_address,
    options_of,
    read,
    variable_behind,
)
from supabase_jobs.database.errors import translated
from supabase_jobs.database.hosts import Kind, diagnose, is_local
from supabase_jobs.database.masking import mask
from supabase_jobs.database.silence import ListeningConnection
from supabase_jobs.errors import ConfigError, ConnectError

# psycopg logs errors of a rollback with host and role; the error that is raised covers them
logging.getLogger("psycopg").addHandler(logging.NullHandler())

OLDEST_MAJOR = 15
NEWEST_TESTED_MAJOR = 18

Connection = psycopg.Connection[tuple[Any, ...]]

# overrides the database's encoding and PGCLIENTENCODING, in which names and texts might not be
# representable
_ENCODING = "utf8"

_IN_TRANSACTION = "select from pg_stat_activity where pid = %s and xact_start is not null"
_END_SECONDS = 10


@dataclass(frozen=True)
class ConnectedDatabase:
    """The database of an open connection, for display: contains no password."""

    host: str
    port: int
    database: str
    server_version: str
    role: str
    kind: Kind | None = None
    encrypted: bool = True

    @property
    def untested(self) -> bool:
        """Whether the server is newer than the newest tested version."""
        return int(self.server_version.partition(".")[0]) > NEWEST_TESTED_MAJOR

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        more = (f", {self.kind}" if self.kind else "") + ("" if self.encrypted else ", WITHOUT TLS")
        return (
            f"{host}:{self.port}/{self.database}, PostgreSQL {self.server_version},"
            f" role {self.role}{more}"
        )


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """Open a connection in autocommit mode and close it after the block; translate errors of the
    block.

    `url` is a libpq URL or keyword string; `conninfo.read` adds defaults. Raises ConfigError (2)
    for an invalid URL, ConnectError (7) if no server answers, if it is older than PostgreSQL 15 or
    if the connection is lost later, and what `errors.translated` raises.
    """
    connection = connect_plain(url)
    with _checked(connection):
        yield connection


def connect_plain(url: str) -> Connection:
    """Open a connection in autocommit mode, which the caller closes; its errors are psycopg's.
    Raises what `connect` raises.
    """
    conninfo = read(url)
    try:
        return _open(conninfo.dsn)
    except psycopg.Error as error:
        _raise_diagnosis(error, conninfo)


async def connect_async(url: str) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """Open an asyncio connection in autocommit mode, which the caller closes. Raises what `connect`
    raises.
    """
    conninfo = read(url)
    try:
        return await psycopg.AsyncConnection.connect(
            conninfo.dsn, autocommit=True, prepare_threshold=None, client_encoding=_ENCODING
        )
    except psycopg.Error as error:
        _raise_diagnosis(error, conninfo)


@contextmanager
def second_connection(connection: Connection) -> Iterator[Connection]:
    """Open a second connection to the same server and database, with the same role and options.

    Another thread may call this while the first connection runs a query. Closed after the block;
    raises what `connect` raises.
    """
    options = options_of(connection)
    address = connected_address(connection)
    try:
        other = _open(make_conninfo("", **options))
    except psycopg.Error as error:
        _raise_diagnosis(error, Conninfo({}, address, connection.info.password, ""))
    with _checked(other):
        yield other


def session_of(connection: Connection) -> int:
    """The process id of the server's session, also behind a pooler."""
    [pid] = connection.execute("select pg_backend_pid()").fetchone() or [0]
    return int(pid)


@contextmanager
def open_or_new(connection: Connection, session: int, other: Connection) -> Iterator[Connection]:
    """The connection, or a new one to the database of the other if an interrupt has closed it.

    The server may still run, and commit, what the closed one has sent. `session` is that of the
    connection: its transaction has ended before the block, or has taken longer than 10 seconds.
    """
    if not connection.closed:
        yield connection
        return
    deadline = time.monotonic() + _END_SECONDS
    while time.monotonic() < deadline and other.execute(_IN_TRANSACTION, [session]).rowcount:
        time.sleep(0.02)
    with second_connection(other) as new:
        yield new


def describe(connection: Connection) -> ConnectedDatabase:
    """Host, port, database, version and role of a connection, without a query."""
    info = connection.info
    address = connected_address(connection)
    encrypted = bool(connection.pgconn.ssl_in_use) or (
        is_local(info.host) and is_local(info.hostaddr)
    )
    return ConnectedDatabase(
        host=info.host or "local socket",
        port=info.port,
        database=info.dbname,
        server_version=_version(connection),
        role=info.user,
        kind=address.kind,
        encrypted=encrypted,
    )


def _open(dsn: str) -> Connection:
    return ListeningConnection.connect(
        dsn, autocommit=True, prepare_threshold=None, client_encoding=_ENCODING
    )


@contextmanager
def _checked(connection: Connection) -> Iterator[None]:
    """Check the server's version, translate errors of the block, close the connection."""
    try:
        if connection.info.server_version < OLDEST_MAJOR * 10_000:
            raise ConnectError(
                f"the server runs PostgreSQL {_version(connection)}; the oldest supported version"
                f" is {OLDEST_MAJOR}",
                hint="Upgrade the server, on Supabase in the dashboard under Infrastructure.",
            )
        with translated(connection):
            yield
    finally:
        connection.close()


def _raise_diagnosis(error: psycopg.Error, conninfo: Conninfo) -> NoReturn:
    """Raise the diagnosis of a failed attempt to connect."""
    address = conninfo.address
    text = mask(str(error), (conninfo.password,), address.names)
    diagnosis = diagnose(text, address, conninfo.password_from)
    error_class, hint = ConfigError if diagnosis.configuration else ConnectError, diagnosis.hint
    if variable := variable_behind(str(error), conninfo.parameters):
        error_class, hint = ConfigError, f"Correct or unset the variable {variable}."
    raise error_class(
        f"cannot connect to {address}: {diagnosis.message}", hint=hint, sqlstate=error.sqlstate
    ) from None


def _version(connection: Connection) -> str:
    number = connection.info.server_version
    return f"{number // 10_000}.{number % 10_000}"
