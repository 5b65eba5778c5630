"""An interrupt by a signal ends a command as an interrupt, and ends the statement on the server."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from types import FrameType
from typing import Any

import psycopg
import pytest
from psycopg import generators

from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection, connect, open_or_new, session_of
from supabase_jobs.database.errors import translated
from supabase_jobs.database.interrupts import pipeline
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS

SLEEP = "select pg_sleep(30)"
_ACTIVE = "select count(*) from pg_stat_activity where pid = %s and state = 'active'"


@contextmanager
def interrupted(seconds: float = 0.1) -> Iterator[None]:
    """Interrupt the block after this time, by a signal as Ctrl-C does; after none, it interrupts
    itself.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def sent_then_raised(connection: Connection) -> None:
    with pipeline(connection):
        connection.execute(SLEEP)
        raise KeyboardInterrupt


def waited_for_at_the_end(connection: Connection) -> None:
    with pipeline(connection):
        connection.execute(SLEEP)
        connection.execute("select 1")


def in_a_batch(connection: Connection) -> None:
    run_groups(connection, [[Statement(SLEEP)], [Statement("select 1")]])


@pytest.mark.parametrize(
    "run", [sent_then_raised, waited_for_at_the_end, in_a_batch], ids=lambda run: run.__name__
)
def test_an_interrupt_cancels_the_statement(
    applied_url: str, run: Callable[[Connection], None]
) -> None:
    with (
        closing(psycopg.connect(applied_url)) as connection,
        psycopg.connect(applied_url, autocommit=True) as other,
    ):
        pid = connection.info.backend_pid
        connection.execute("select")
        with interrupted(0 if run is sent_then_raised else 0.1):
            run(connection)
        assert connection.broken
        end = time.monotonic() + 20  # of thirty
        while other.execute(_ACTIVE, (pid,)).fetchone() != (0,):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_request_to_cancel_that_comes_too_early_is_repeated(
    applied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ignores one that comes before it has begun the statement."""
    cancel, calls = psycopg.Connection.cancel_safe, count(1)

    def ignored(connection: Connection, **options: float) -> None:
        if next(calls) > 1:
            cancel(connection, **options)

    monkeypatch.setattr(psycopg.Connection, "cancel_safe", ignored)
    test_an_interrupt_cancels_the_statement(applied_url, sent_then_raised)


def test_a_second_interrupt_does_not_wait_for_the_statement(
    applied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes while the server is asked to cancel, and has not answered yet."""
    monkeypatch.setattr(psycopg.Connection, "cancel_safe", lambda _connection, **_options: None)
    with closing(psycopg.connect(applied_url)) as connection:
        started = time.monotonic()
        with interrupted():
            sent_then_raised(connection)
        assert connection.broken
        assert time.monotonic() - started < 20  # of thirty


@pytest.mark.parametrize("number", [1, 2, 20, 200, 1000])
def test_an_interrupt_of_verify_is_not_replaced(
    applied_url: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fetch_many, calls = generators.fetch_many, count(1)

    def fetch(pgconn: Any) -> Any:
        if next(calls) == number:
            raise KeyboardInterrupt
        return fetch_many(pgconn)

    monkeypatch.setattr(generators, "fetch_many", fetch)
    with (
        closing(psycopg.connect(applied_url, autocommit=True)) as connection,
        pytest.raises(KeyboardInterrupt),
        translated(connection),
    ):
        verify(connection, EXPECTATIONS)


@pytest.mark.parametrize("kind", [psycopg.OperationalError, ValueError, SupabaseJobsError])
def test_an_error_that_follows_from_an_interrupt_is_not_reported(
    rolled_back: Connection, kind: type[Exception]
) -> None:
    def fail_to_clean_up() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise kind("another command is already in progress")

    with pytest.raises(KeyboardInterrupt), translated(rolled_back):
        fail_to_clean_up()


def test_an_interrupt_while_a_connection_listens_leaves_it_usable(
    platform_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised where it ends the generator that waits, not in psycopg's own code."""
    real, calls = time.monotonic, count()

    def monotonic() -> float:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return real()

    with connect(platform_url) as connection:
        with monkeypatch.context() as patched:
            patched.setattr("supabase_jobs.database.silence.time.monotonic", monotonic)
            with pytest.raises(KeyboardInterrupt):
                connection.execute(SLEEP)
        connection.rollback()
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_new_connection_sees_what_the_closed_one_still_commits(applied_url: str) -> None:
    """The server does not learn that a client has gone before its statement has ended."""
    with connect(applied_url) as other, connect(applied_url) as connection:
        other.execute("create table public.late (id int)")
        session = session_of(connection)
        connection.pgconn.send_query(b"insert into public.late values (1); select pg_sleep(0.5)")
        while other.execute(_ACTIVE, [session]).fetchone() != (1,):
            time.sleep(0.01)
        connection.pgconn.finish()
        with open_or_new(connection, session, other) as new:
            assert new.execute("select count(*) from public.late").fetchone() == (1,)
