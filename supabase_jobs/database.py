"""Connecting, and what goes wrong with connections, in our own errors. Knows no table.

Poolers are normal: nothing here is prepared, and no setting outlives a transaction.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from supabase_jobs.errors import ConfigError, ConnectError, PrivilegeError, SupabaseJobsError

APPLICATION_NAME = "supabase-jobs"
CONNECT_TIMEOUT_SECONDS = 10
OLDEST_MAJOR = 15

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Target:
    """Which database a connection leads to, fit to be printed: it holds no password."""

    host: str
    port: int
    database: str
    server_version: str
    role: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}, PostgreSQL {self.server_version}, role {self.role}"


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """A connection in autocommit mode, closed afterwards; errors inside the block become ours.

    `url` is a libpq URL or keyword string. Where it is silent, hosts that are not local are asked for TLS.
    Raises ConfigError (exit 2) for a URL that cannot be parsed, ConnectError (exit 7) where nobody
    answers, the server is older than PostgreSQL 15 or the connection is lost later, and PrivilegeError
    (exit 7) where the role may not do what was asked.
    """
    parameters = _parameters(url)
    secret = parameters.get("password")
    try:
        connection = psycopg.connect(make_conninfo("", **parameters), autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        raise ConnectError(
            f"cannot connect to {_place(parameters)}: {_first_line(error, secret)}",
            hint="Check host, port and password, and that the server is running.",
            sqlstate=error.sqlstate,
        ) from None
    try:
        if connection.info.server_version < OLDEST_MAJOR * 10_000:
            raise ConnectError(
                f"the server runs PostgreSQL {_version(connection)}; {OLDEST_MAJOR} is the oldest that is supported"
            )
        with translated(secret):
            yield connection
    finally:
        connection.close()


@contextmanager
def translated(secret: str | None = None) -> Iterator[None]:
    """Turn psycopg's errors, which no caller foresaw, into ours; the password never comes along."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise PrivilegeError(
            f"the role lacks a right: {_first_line(error, secret)}",
            hint="Connect as the role that owns the objects: postgres on Supabase.",
            sqlstate=error.sqlstate,
        ) from None
    except psycopg.OperationalError as error:
        raise ConnectError(
            f"the connection failed: {_first_line(error, secret)}",
            hint="Whatever was not committed by then has been rolled back. Run the command again.",
            sqlstate=error.sqlstate,
        ) from None
    except psycopg.Error as error:
        raise SupabaseJobsError(
            f"the database refused a statement of supabase-jobs: {_first_line(error, secret)}",
            sqlstate=error.sqlstate,
        ) from None


def target(connection: Connection) -> Target:
    """Host, port, database, version and role of a connection, without asking the server."""
    info = connection.info
    return Target(info.host or "local socket", info.port, info.dbname, _version(connection), info.user)


def is_local(host: str | None) -> bool:
    """Whether a host is this machine: a socket, a loopback address, or localhost."""
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _parameters(url: str) -> dict[str, Any]:
    try:
        parameters: dict[str, Any] = dict(conninfo_to_dict(url))
        if not re.fullmatch(r"(\d+(,\d+)*)?", str(parameters.get("port", ""))):
            raise psycopg.ProgrammingError
    except psycopg.ProgrammingError:
        # libpq's message quotes the URL, password and all
        raise ConfigError(
            "the database URL cannot be parsed",
            hint="It looks like postgresql://USER:PASSWORD@HOST:PORT/DATABASE;"
            " write %40 for @, %3A for : and %2F for / inside the password.",
        ) from None
    parameters.setdefault("application_name", APPLICATION_NAME)
    parameters.setdefault("connect_timeout", CONNECT_TIMEOUT_SECONDS)
    if "sslmode" not in parameters and "PGSSLMODE" not in os.environ and not is_local(parameters.get("host")):
        parameters["sslmode"] = "require"
    return parameters


def _place(parameters: dict[str, Any]) -> str:
    host = parameters.get("host") or os.environ.get("PGHOST") or "the local socket"
    return f"{host}:{parameters.get('port') or os.environ.get('PGPORT') or 5432}"


def _version(connection: Connection) -> str:
    number = connection.info.server_version
    return f"{number // 10_000}.{number % 10_000}"


def _first_line(error: psycopg.Error, secret: str | None) -> str:
    text = error.diag.message_primary or " ".join(str(error).split())
    return text.replace(secret, "***") if secret else text


@contextmanager
def twin(connection: Connection) -> Iterator[Connection]:
    """A second connection to the same place, with the same credentials."""
    info = connection.info
    with connect(make_conninfo(info.dsn, password=info.password or None)) as other:
        yield other
