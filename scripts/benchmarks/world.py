"""The databases that are measured: a server of their own, the migrations applied, filled, and copies of them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from uuid import UUID

import click
import psycopg
from psycopg import sql

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.local.server import ServerInfo, throwaway
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.settings import Settings
from supabase_jobs.sources.files import MigrationFiles, packaged_sql
from supabase_jobs.sources.project import rendered

HERE = Path(__file__).parent
SETTINGS = Settings(packaged_sql().parent)

OWNERS = 10_000
# of the guests and users that are asked for by name, those with few jobs and those with many
GUEST, LARGE_GUEST = UUID("6b1d3c5e-8f21-4a7b-9c44-0d2e5f7a9b10"), UUID("6b1d3c5e-8f21-4a7b-9c44-0d2e5f7a9b11")
USER, LARGE_USER = UUID("6b1d3c5e-8f21-4a7b-9c44-0d2e5f7a9b20"), UUID("6b1d3c5e-8f21-4a7b-9c44-0d2e5f7a9b21")

# As a hosted database has it: what is committed is on the disk. Otherwise PostgreSQL's own defaults, 128 MB of
# shared_buffers among them, but for the room for WAL.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_wal_size": "4GB"}


@cache
def statement(name: str) -> bytes:
    """The text of `sql/NAME.sql`."""
    return (HERE / "sql" / f"{name}.sql").read_bytes()


def run(connection: Connection, name: str, *params: object) -> int:
    """Run one of these files, whose parameters are $1, $2; how many rows it touched."""
    with psycopg.RawCursor(connection) as cursor:
        return cursor.execute(statement(name), params).rowcount


class World:
    """The server, started when it is first asked for, and the databases on it. Use as a context manager."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.expired = min(300_000, rows * 3 // 10)  # as jobs.sql ages them
        self._stack = ExitStack()
        self._server: ServerInfo | None = None
        self._made: set[str] = set()

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def server(self) -> ServerInfo:
        """A server whose commits are durable."""
        if self._server is None:
            self._server = self._stack.enter_context(throwaway(settings=DURABLE))
        return self._server

    def filled(self, rows: int | None = None, *, shuffled: bool = False) -> str:
        """The name of a database with so many jobs (else `self.rows`), vacuumed and analyzed; made at its first use."""
        rows = rows or self.rows
        name = f"jobs_{rows}{'_shuffled' if shuffled else ''}"
        if name not in self._made:
            started = time.perf_counter()
            self._create(name, "postgres")
            with connect(self.server.url_for(name)) as connection:
                apply_pending(connection, MigrationFiles(rendered(SETTINGS)))
            with psycopg.connect(self.server.superuser_url_for(name), autocommit=True) as connection:
                fill(connection, rows, shuffled=shuffled)
            self._made.add(name)
            say(f"{name}: {rows:,} jobs in {time.perf_counter() - started:.0f} s")
        return name

    def url(self, name: str) -> str:
        """The URL of one of them, for the tables' owner."""
        return self.server.url_for(name)

    @contextmanager
    def copy(self, name: str) -> Iterator[str]:
        """The URL of a copy, on the disk already; it is dropped afterwards."""
        copied = f"{name}_copy"
        self._create(copied, name)
        try:
            yield self.url(copied)
        finally:
            self._administer("drop database {} with (force)", copied)

    def drop(self, name: str) -> None:
        """Give the room back."""
        self._administer("drop database {} with (force)", name)
        self._made.discard(name)

    def _create(self, name: str, template: str) -> None:
        # a copy of the files; by default every page would go through the WAL
        self._administer("create database {} template {} owner postgres strategy file_copy", name, template)

    def _administer(self, text: str, *names: str) -> None:
        with psycopg.connect(self.server.superuser_url_for("template1"), autocommit=True) as connection:
            connection.execute(sql.SQL(text).format(*map(sql.Identifier, names)))
            connection.execute("checkpoint")  # of the copying, not of what is measured


def fill(connection: Connection, rows: int, *, shuffled: bool = False) -> None:
    """Owners and jobs, as a superuser in autocommit mode, into a database with the migrations."""
    guests, users = [GUEST, LARGE_GUEST], [USER, LARGE_USER]
    run(connection, "owners", OWNERS, OWNERS, guests, users)
    connection.execute("analyze public.guest_users, auth.users")
    connection.execute("set session_replication_role = replica")  # these owners are there: asks no foreign key
    run(connection, "jobs", rows, guests, users, shuffled)
    connection.execute("vacuum analyze")


def say(text: str) -> None:
    """Narration, to stderr."""
    click.echo(text, err=True)
