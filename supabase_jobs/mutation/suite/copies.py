"""Copies of a database for the runs of a suite, and the removal of those that an earlier run has
left behind.
"""

import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from supabase_jobs.database.connection import Connection, second_connection
from supabase_jobs.database.sql_files import sql_files
from supabase_jobs.errors import BusyError, PrivilegeError, SupabaseJobsError
from supabase_jobs.local import databases

_QUERIES = sql_files(Path(__file__).with_name("sql"))
_PREFIX = "supabase_jobs_mutate_"
# the name of a copy: the process that made it, a token of the run, a number
_PATTERN = rf"^{_PREFIX}([0-9]+_[0-9a-f]{{6}})_[0-9]+$"
# seconds; the statistics of a session arrive when it has ended
_SESSIONS_TIMEOUT, _POLL = 2.0, 0.1


@dataclass(frozen=True)
class Copy:
    """A copy of the database: its name, its URL, and the PG… variables that lead to it. Both
    contain the password.
    """

    name: str
    url: str = field(repr=False)
    variables: dict[str, str] = field(repr=False)


class Copies:
    """Makes copies of the database of a connection, which stays open; `close` drops all of them.

    The original is copied once, while nobody else is connected to it; the other copies are made
    from that copy.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._token = f"{os.getpid()}_{secrets.token_hex(3)}"
        self._numbers = count()
        self._made: set[str] = set()
        self._lock = threading.Lock()
        # other runs recognize by this name that the copies are in use
        application = f"supabase-jobs mutate {self._token}"
        connection.execute("select set_config('application_name', %s, false)", (application,))
        self._base = ""
        self.missing_settings: set[str] = set()

    def remove_abandoned(self) -> list[str]:
        """Drop the copies of runs that have ended without it, and return their names."""
        names = [name for (name,) in _QUERIES["abandoned"].rows(self._connection, _PATTERN)]
        for name in names:
            _drop(self._connection, name)
        return names

    def start(self) -> None:
        """Copy the original. Raises BusyError if others are connected to it, PrivilegeError without
        CREATEDB.
        """
        original, base = self._connection.info.dbname, self._new_name()
        try:
            databases.copy(self._connection, base, original)
        except psycopg.errors.ObjectInUse:
            names = ", ".join(name for (name,) in _QUERIES["connected"].rows(self._connection))
            raise BusyError(
                f'the database "{original}" cannot be copied while others are connected:'
                f" {names or 'a session'}",
                hint="End these sessions. Or leave out --db-url and SUPABASE_DB_URL: mutate then"
                " starts an embedded"
                " server and applies supabase/migrations.",
            ) from None
        except psycopg.errors.InsufficientPrivilege as error:
            raise PrivilegeError(
                f'the role "{self._connection.info.user}" cannot copy the database "{original}":'
                f" {error.diag.message_primary}",
                hint="Connect as the owner of the database, with CREATEDB, or as a superuser.",
                sqlstate=error.sqlstate,
            ) from None
        self._base = base

    @contextmanager
    def copy(self) -> Iterator[Copy]:
        """A copy for the block, dropped afterwards. Any thread may call this."""
        name = self._new_name()
        try:
            with second_connection(self._connection) as admin:
                databases.copy(admin, name, self._base)
                for statement in databases.settings_for(admin, name):
                    try:
                        admin.execute(statement.encode())
                    except psycopg.errors.InsufficientPrivilege:  # only a superuser may
                        self.missing_settings.add(
                            statement.replace(name, self._connection.info.dbname)
                        )
            yield self._describe(name)
        finally:
            self._discard(name)

    def sessions(self, copies: Sequence[Copy]) -> int:
        """The number of sessions that copies have had; if there was none, waits for the statistics
        to arrive.
        """
        names = [copy.name for copy in copies]
        deadline = time.monotonic() + _SESSIONS_TIMEOUT
        while True:
            [(number,)] = _QUERIES["sessions"].rows(self._connection, names)
            if number or time.monotonic() > deadline:
                return int(number)
            time.sleep(_POLL)

    def close(self) -> None:
        """Drop the copies that are left; one that cannot be dropped remains for the next run."""
        for name in sorted(self._made):
            with suppress(psycopg.Error, SupabaseJobsError):
                self._discard(name)

    def _new_name(self) -> str:
        name = f"{_PREFIX}{self._token}_{next(self._numbers)}"
        with self._lock:
            self._made.add(name)
        return name

    def _discard(self, name: str) -> None:
        with second_connection(self._connection) as admin:
            _drop(admin, name)
        with self._lock:
            self._made.discard(name)

    def _describe(self, name: str) -> Copy:
        info = self._connection.info
        is_socket = info.host.startswith("/")
        login = quote(info.user, safe="") + (
            f":{quote(info.password, safe='')}" if info.password else ""
        )
        host, query = info.host, ""
        if is_socket:
            host, query = "", f"?host={quote(info.host, safe='')}"
        elif ":" in info.host:
            host = f"[{info.host}]"
        url = f"postgresql://{login}@{host}:{info.port}/{name}{query}"
        variables = {
            "PGHOST": info.host,
            "PGPORT": str(info.port),
            "PGUSER": info.user,
            "PGDATABASE": name,
        }
        return Copy(name, url, variables | ({"PGPASSWORD": info.password} if info.password else {}))


def _drop(admin: Connection, name: str) -> None:
    admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
