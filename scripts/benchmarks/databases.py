"""The server of a benchmark run, its databases with migrations and rows, and copies of them."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
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
# the guests and users of the queries: one of each with few jobs, one of each with many
GUEST, LARGE_GUEST = (
    UUID("6b1d3c5e-8f21-4a7b-9c44-0d2e5f7a9b10"),
    UUID("6b1d3c5e-8f21-4a7b-9c44-0d2e5f7a9b11"),
)
USER, LARGE_USER = (
    UUID("6b1d3c5e-8f21-4a7b-9c44-0d2e5f7a9b20"),
    UUID("6b1d3c5e-8f21-4a7b-9c44-0d2e5f7a9b21"),
)

# Commits are flushed to disk, as in a hosted database. Apart from max_wal_size, the defaults of
# PostgreSQL hold, for example 128 MB of shared_buffers.
DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "4GB",
}


@cache
def statement(name: str) -> bytes:
    """The text of `sql/NAME.sql`."""
    return (HERE / "sql" / f"{name}.sql").read_bytes()


def run(connection: Connection, name: str, *params: object) -> int:
    """Run `sql/NAME.sql` with its parameters $1, $2, …; returns the number of affected rows."""
    with psycopg.RawCursor(connection) as cursor:
        return cursor.execute(statement(name), params).rowcount


class Databases:
    """The server, started on first use, and its databases; the SQL of pgmq. Use as a context
    manager.
    """

    def __init__(self, rows: int, pgmq: Path | None = None) -> None:
        self.rows = rows
        self.pgmq = pgmq
        self.version = ""  # of the server that was measured, if it was another one
        self.expired = min(300_000, rows * 3 // 10)  # as insert_jobs.sql dates them
        self._stack = ExitStack()
        self._server: ServerInfo | None = None
        self._filled: set[str] = set()

    def __enter__(self) -> "Databases":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def server(self) -> ServerInfo:
        """A server with durable commits."""
        if self._server is None:
            self._server = self._stack.enter_context(throwaway(settings=DURABLE))
        return self._server

    def filled(
        self,
        rows: int | None = None,
        *,
        shuffled: bool = False,
        prepare: Callable[[str], None] | None = None,
        indexes_last: bool = False,
    ) -> str:
        """The name of a vacuumed database with this many jobs (default: `self.rows`), created on
        first use.

        `prepare` changes the empty tables, with the URL of their owner.
        """
        rows = rows or self.rows
        variants = {
            "_shuffled": shuffled,
            f"_{getattr(prepare, '__name__', '')}": prepare,
            "_bulk": indexes_last,
        }
        name = f"jobs_{rows}{''.join(suffix for suffix, used in variants.items() if used)}"
        if name not in self._filled:
            started = time.perf_counter()
            self._create(name, "postgres")
            with connect(self.server.url_for(name)) as connection:
                apply_pending(connection, MigrationFiles(rendered(SETTINGS)))
            if prepare is not None:
                prepare(self.url(name))
            with psycopg.connect(
                self.server.superuser_url_for(name), autocommit=True
            ) as connection:
                fill(connection, rows, shuffled=shuffled, indexes_last=indexes_last)
            self._filled.add(name)
            log(f"{name}: {rows:,} jobs in {time.perf_counter() - started:.0f} s")
        return name

    def url(self, name: str) -> str:
        """The URL of a database for the owner of the tables."""
        return self.server.url_for(name)

    @contextmanager
    def copy(self, name: str) -> Iterator[str]:
        """The URL of a copy, written to disk; it is dropped after the block."""
        copied = f"{name}_copy"
        self._create(copied, name)
        try:
            yield self.url(copied)
        finally:
            self._administer("drop database {} with (force)", copied)

    def drop(self, name: str) -> None:
        """Drop a database to free disk space."""
        self._administer("drop database {} with (force)", name)
        self._filled.discard(name)

    def _create(self, name: str, template: str) -> None:
        # the default strategy writes every page to the WAL
        self._administer(
            "create database {} template {} owner postgres strategy file_copy", name, template
        )

    def _administer(self, text: str, *names: str) -> None:
        with psycopg.connect(
            self.server.superuser_url_for("template1"), autocommit=True
        ) as connection:
            connection.execute(sql.SQL(text).format(*map(sql.Identifier, names)))
            connection.execute("checkpoint")  # flush the copy before the measurement


def fill(
    connection: Connection, rows: int, *, shuffled: bool = False, indexes_last: bool = False
) -> None:
    """Insert owners and jobs into a database with the migrations, as a superuser in autocommit
    mode.
    """
    guests, users = [GUEST, LARGE_GUEST], [USER, LARGE_USER]
    run(connection, "insert_owners", OWNERS, OWNERS, guests, users)
    connection.execute("analyze public.guest_users, auth.users")
    connection.execute(
        "set session_replication_role = replica"
    )  # skips the foreign keys: the owners exist
    with _without_indexes(connection) if indexes_last else nullcontext():
        run(connection, "insert_jobs", rows, guests, users, shuffled)
    connection.execute("vacuum analyze")


@contextmanager
def _without_indexes(connection: Connection) -> Iterator[None]:
    """Drop the keys and indexes of the jobs, and build them after the block: several times as fast
    for many rows.
    """
    definitions = connection.execute(statement("indexes")).fetchall()
    for drop, _ in definitions:
        connection.execute(drop.encode())
    yield
    connection.execute("set maintenance_work_mem = '512MB'")
    for _, create in definitions:
        connection.execute(create.encode())


def log(text: str) -> None:
    """Print progress to stderr."""
    click.echo(text, err=True)
