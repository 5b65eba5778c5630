"""Connecting, and what goes wrong with it, in our own errors. Knows no table.

Poolers are normal: nothing here is prepared, and no setting outlives a transaction.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import psycopg
from psycopg.conninfo import make_conninfo

from supabase_jobs.database.conninfo import Conninfo, connected_address, mask, read
from supabase_jobs.database.errors import translated
from supabase_jobs.database.hosts import Kind, diagnose, is_local
from supabase_jobs.errors import ConfigError, ConnectError

# psycopg logs what it passes over while it rolls back, host and role included; our own error says what matters
logging.getLogger("psycopg").addHandler(logging.NullHandler())

OLDEST_MAJOR = 15
NEWEST_TESTED_MAJOR = 18

Connection = psycopg.Connection[tuple[Any, ...]]

# whatever a database or PGCLIENTENCODING says: in another, names and texts may not arrive, or not as text
_ENCODING = "utf8"


@dataclass(frozen=True)
class ConnectedDatabase:
    """Which database a connection leads to, fit to be printed: it holds no password."""

    host: str
    port: int
    database: str
    server_version: str
    role: str
    kind: Kind | None = None
    encrypted: bool = True

    @property
    def untested(self) -> bool:
        """Whether the server is newer than what this was tested with."""
        return int(self.server_version.partition(".")[0]) > NEWEST_TESTED_MAJOR

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        more = (f", {self.kind}" if self.kind else "") + ("" if self.encrypted else ", WITHOUT TLS")
        return f"{host}:{self.port}/{self.database}, PostgreSQL {self.server_version}, role {self.role}{more}"


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """A connection in autocommit mode, closed afterwards; errors inside the block become ours.

    `url` is a libpq URL or keyword string. Where it is silent, the PG… variables, a service file and the password
    file fill it in, and hosts that are not local are asked for TLS.
    Raises ConfigError (exit 2) for a URL that cannot be used, ConnectError (exit 7) where nobody answers, the
    server is older than PostgreSQL 15 or the connection is lost later, and what `errors.translated` raises.
    """
    conninfo = read(url)
    try:
        connection = _open(conninfo.dsn)
    except psycopg.Error as error:
        _explain(error, conninfo)
    with _kept(connection):
        yield connection


async def connect_async(url: str) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """A connection for asyncio, in autocommit mode, which the caller closes. Raises what `connect` raises."""
    conninfo = read(url)
    try:
        return await psycopg.AsyncConnection.connect(
            conninfo.dsn, autocommit=True, prepare_threshold=None, client_encoding=_ENCODING
        )
    except psycopg.Error as error:
        _explain(error, conninfo)


@contextmanager
def twin(connection: Connection) -> Iterator[Connection]:
    """A second connection to the same server and database, as the same role, with the same options.

    Safe to open from another thread while the first one waits. Closed afterwards; raises what `connect` raises.
    """
    info = connection.info
    options = {o.keyword.decode(): o.val.decode() for o in connection.pgconn.info if o.val is not None}
    options.pop("service", None)  # all that it said is among the options
    options.pop("passfile", None)
    # of several hosts and addresses, the one that answered
    options |= {"host": info.host, "hostaddr": info.hostaddr, "port": str(info.port)}
    options |= {"password": info.password} if info.password else {}
    address = connected_address(connection)
    try:
        other = _open(make_conninfo("", **options))
    except psycopg.Error as error:
        _explain(error, Conninfo({}, address, info.password, ""))
    with _kept(other):
        yield other


def describe(connection: Connection) -> ConnectedDatabase:
    """Host, port, database, version and role of a connection, without asking the server."""
    info = connection.info
    address = connected_address(connection)
    encrypted = bool(connection.pgconn.ssl_in_use) or (is_local(info.host) and is_local(info.hostaddr))
    return ConnectedDatabase(
        info.host or "local socket", info.port, info.dbname, _version(connection), info.user, address.kind, encrypted
    )


def _open(dsn: str) -> Connection:
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None, client_encoding=_ENCODING)


@contextmanager
def _kept(connection: Connection) -> Iterator[None]:
    try:
        if connection.info.server_version < OLDEST_MAJOR * 10_000:
            raise ConnectError(
                f"the server runs PostgreSQL {_version(connection)}; {OLDEST_MAJOR} is the oldest that is supported",
                hint="Upgrade it; Supabase's dashboard does so under Infrastructure.",
            )
        with translated(connection):
            yield
    finally:
        connection.close()


def _explain(error: psycopg.Error, conninfo: Conninfo) -> NoReturn:
    """Raise what a failed attempt to connect means."""
    address = conninfo.address
    found = diagnose(mask(str(error), conninfo.password, address), address, conninfo.password_from)
    kind = ConfigError if found.configuration else ConnectError
    raise kind(f"cannot connect to {address}: {found.message}", hint=found.hint, sqlstate=error.sqlstate) from None


def _version(connection: Connection) -> str:
    number = connection.info.server_version
    return f"{number // 10_000}.{number % 10_000}"
