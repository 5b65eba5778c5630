"""A server that no longer answers is noticed; one that works for long is not taken for it."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from benchmarks.distance import Distance, distance
from supabase_jobs.database import silence
from supabase_jobs.database.connection import connect
from supabase_jobs.errors import ConnectError
from tests.fix_cli import Run
from tests.fix_db import Database
from tests.migrations.helpers import write


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(silence, "_CONNECT_SECONDS", 2)


@pytest.fixture
def network(in_use: Database) -> Iterator[Distance]:
    with distance(in_use.server.port, 0) as proxy:
        yield proxy


def through(network: Distance, database: Database) -> str:
    return database.url.replace(str(database.server.port), str(network.port))


def test_a_slow_statement_is_waited_for(network: Distance, in_use: Database) -> None:
    with connect(through(network, in_use)) as connection:
        assert connection.execute("select 1 from pg_sleep(2.5)").fetchone() == (1,)


def test_a_server_that_does_not_read_is_waited_for(in_use: Database) -> None:
    """While it works on a pipeline, the kernel may end the connection only if it has such a limit."""
    with (
        connect(in_use.url) as connection,
        socket.socket(fileno=os.dup(connection.fileno())) as tcp,
    ):
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


def test_a_network_that_drops_everything(network: Distance, in_use: Database) -> None:
    started = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(ConnectError, match=r"lost: the server does not answer"))
        connection = stack.enter_context(connect(through(network, in_use)))
        network.dropped.set()
        connection.execute("select 1")
    assert time.monotonic() - started < 20


LOCKED = """
select a.query, l.mode from pg_locks as l
inner join pg_stat_activity as a on l.pid = a.pid
where a.application_name = 'supabase-jobs' and a.datname = current_database() and l.granted
  and l.locktype in ('relation', 'transactionid', 'advisory')
"""
# each waits for a lock of another session when the network goes
COMMANDS = [
    ("status",),
    ("stats",),
    ("check-results",),
    ("cleanup", "--days", "0"),
    ("verify",),
    ("apply",),
    ("apply", "--dry-run"),
    (
        "migrate-guest",
        "6f1c2a52-6c1f-4f0e-9a43-1a2b3c4d5e6f",
        "0b9d8c7a-1234-4abc-8def-001122334455",
    ),
]
TABLES = "public.async_jobs, public.guest_users, auth.users, supabase_migrations.schema_migrations"


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_commands_end_and_leave_no_lock(
    cli: Run, network: Distance, in_use: Database, files: Path, words: tuple[str, ...]
) -> None:
    write(files, "20990101000000_column.sql", "alter table public.async_jobs add column more int;")
    with psycopg.connect(in_use.superuser_url, autocommit=True) as observer:

        def drop() -> None:
            query = "select from pg_stat_activity where datname = current_database()"
            query += " and application_name = 'supabase-jobs' and wait_event_type = 'Lock'"
            while observer.execute(query.encode()).fetchone() is None:
                time.sleep(0.02)
            network.dropped.set()

        dropping = threading.Thread(target=drop, daemon=True)
        with psycopg.connect(in_use.superuser_url) as blocker:
            blocker.execute(f"lock table {TABLES} in access exclusive mode".encode())
            dropping.start()
            ran = cli(*words, "--db-url", through(network, in_use))
        dropping.join(5)
        assert (ran.code, "the connection" in ran.err) == (7, True), ran.err
        deadline = time.monotonic() + 10
        while observer.execute(LOCKED).fetchall():
            assert time.monotonic() < deadline, observer.execute(LOCKED).fetchall()
            time.sleep(0.1)
