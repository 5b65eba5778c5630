"""The schema of a database as SQL, written by pg_dump while a session on the server watches it."""

import os
import secrets
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Json

from supabase_jobs.database.batch import Statement, read
from supabase_jobs.database.blocking import locked_tables
from supabase_jobs.database.connection import Connection, second_connection
from supabase_jobs.database.conninfo import options_of
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.errors import BusyError, ConfigError, ConnectError, SupabaseJobsError
from supabase_jobs.local.ports import HOST
from supabase_jobs.projects.relay import endpoint, relay

_WATCH = sql_file(Path(__file__).with_name("watch.sql"))
_SET = "select set_config(s.key, s.value, false) from json_each_text(%s) as s"
_RESULT = "select current_setting('supabase_jobs.watch_result')"
_BACKEND = Statement("select pg_backend_pid()")
_TRIES = 3


@dataclass(frozen=True)
class Limits:
    """How long pg_dump may take, until its session is there, stand still, and wait for a lock."""

    seconds: int = 300
    connect_seconds: float = 6
    still_seconds: float = 4
    lock_seconds: float = 2


@contextmanager
def watching(connection: Connection) -> Iterator[Connection]:
    """A second connection, which watches pg_dump from another session of the server.

    Raises ConfigError (2) for a pooler in transaction mode.
    """
    with second_connection(connection) as watcher:
        _refuse_transaction_mode(connection, watcher)
        yield watcher


def schema(
    watcher: Connection,
    pg_dump: Path,
    excluded: Sequence[str] = (),
    questions: Sequence[str] = (),
    limits: Limits = Limits(),
) -> str:
    """The definitions of all objects but the tables that match the patterns in `excluded`.

    `questions` are those of pg_dump about single objects. One transaction, no lock above ACCESS
    SHARE. If another session waits for it, it is ended and tried again. Raises BusyError (5) if
    others hold or need locks each time, ConnectError (7) if the connection is lost.
    """
    for _ in range(_TRIES):
        text = _attempt(watcher, pg_dump, excluded, questions, limits)
        if text is not None:
            return text
    raise BusyError(
        f"the schema was not copied: {_TRIES} times another session waited for its locks",
        hint="Run it again when no migration is running.",
    )


def _attempt(
    watcher: Connection,
    pg_dump: Path,
    excluded: Sequence[str],
    questions: Sequence[str],
    limits: Limits,
) -> str | None:
    """The output of pg_dump; None if it was ended because another session waited for it."""
    name = f"supabase-jobs copy {secrets.token_hex(4)}"
    target = endpoint(options_of(watcher), encrypted=bool(watcher.pgconn.ssl_in_use))
    with relay(target, questions) as port, _watched(watcher, name, limits) as watch:
        command = [str(pg_dump), *_arguments(excluded, limits)]
        conninfo = make_conninfo(
            "",
            host=HOST,
            port=port,
            dbname=watcher.info.dbname,
            user=watcher.info.user,
            sslmode="disable",
            gssencmode="disable",
            application_name=name,
        )
        command.append(f"--dbname={conninfo}")
        ran = _run(command, watcher.info.password, limits, watch)
    if ran.returncode == 0:
        return ran.stdout
    if watch.result == "blocking":
        return None
    raise _failure(watcher, ran.stderr, watch.result, limits)


def _arguments(excluded: Sequence[str], limits: Limits) -> list[str]:
    return [
        "--schema-only",
        "--no-password",
        "--no-comments",
        "--no-security-labels",
        "--no-subscriptions",
        "--no-tablespaces",
        "--encoding=UTF8",
        f"--lock-wait-timeout={limits.lock_seconds}s",
        *(f"--exclude-table={pattern}" for pattern in excluded),
    ]


@dataclass
class _Watch:
    """The watching session, and the program that it watches.

    `result` is known after the block of `_watched`: ended, blocking, still, slow, absent, lost, or
    unseen if the program ended before it had a session.
    """

    result: str = "unseen"
    program: "subprocess.Popen[str] | None" = None

    def give_up(self, result: str) -> None:
        """End the program: nobody watches its session any more."""
        self.result = result
        if self.program is not None:
            self.program.kill()


def _run(
    command: Sequence[str], password: str, limits: Limits, watch: _Watch
) -> "subprocess.CompletedProcess[str]":
    """Run pg_dump without the caller's PG… variables; the password is not among its arguments."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    environment |= {"PGPASSWORD": password} if password else {}
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as program:
        watch.program = program
        try:
            out, err = program.communicate(timeout=limits.seconds + 10)
        except subprocess.TimeoutExpired:
            program.kill()
            return subprocess.CompletedProcess(command, 1, "", "it took too long")
        except BaseException:
            program.kill()
            raise
    return subprocess.CompletedProcess(command, program.returncode, out, err)


@contextmanager
def _watched(watcher: Connection, name: str, limits: Limits) -> Iterator[_Watch]:
    """Watch the session of that name from the server while the block runs."""
    watch = _Watch()
    settings = {
        "supabase_jobs.watched": name,
        "supabase_jobs.watch_connect": f"{limits.connect_seconds} seconds",
        "supabase_jobs.watch_still": f"{limits.still_seconds} seconds",
        "supabase_jobs.watch_limit": f"{limits.seconds} seconds",
        "client_connection_check_interval": "2s",
    }
    watcher.execute(_SET, [Json(settings)])

    def run() -> None:
        try:
            _, [(result,)] = read(watcher, [_WATCH.statement(), Statement(_RESULT)])
            watch.result = str(result)
            if result == "absent":
                watch.give_up("absent")
        except psycopg.Error:  # cancelled, or the connection is lost
            if watcher.broken:
                watch.give_up("lost")

    thread = threading.Thread(target=run, name="watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        thread.join(timeout=1)
        if thread.is_alive():  # it never saw the session, or waits for its end
            watcher.cancel_safe(timeout=5)
            thread.join(timeout=5)


def _refuse_transaction_mode(connection: Connection, other: Connection) -> None:
    """Raise ConfigError if transactions of one connection run in several sessions of the server.

    pg_dump makes settings for its session. A pooler in transaction mode would hand that session to
    other clients. While one connection holds a session, the other gets another; afterwards a pooler
    gives it the one that became free last.
    """
    read(connection, [Statement("begin"), _BACKEND])
    try:
        first = read(other, [_BACKEND])
    finally:
        read(connection, [Statement("rollback")])
    if read(other, [_BACKEND]) != first:
        raise ConfigError(
            "the pooler runs each transaction in another session, and pg_dump needs one of its own",
            hint="Use the session pooler (on Supabase port 5432) or the direct connection.",
        )


def _failure(connection: Connection, stderr: str, result: str, limits: Limits) -> SupabaseJobsError:
    """The error of a dump that failed."""
    lines = [line for line in stderr.splitlines() if " error: " in line]
    message = lines[0].removeprefix("pg_dump: ").removeprefix("error: ") if lines else "no error"
    if result == "lost":
        return ConnectError(
            "the connection to the database was lost while the schema was copied",
            hint="Run it again: nothing was written.",
        )
    if result == "absent":
        return ConnectError(
            f"pg_dump did not connect within {limits.connect_seconds:g} seconds",
            hint="Run it again: nothing was written.",
        )
    if result == "still":
        return ConnectError("the copy stood still, so the server ended it", hint="Run it again.")
    if result == "slow" or "took too long" in stderr:
        return BusyError(
            f"the schema was not copied within {limits.seconds} seconds",
            hint="Narrow the network distance: run it near the database.",
        )
    if "LOCK TABLE" in stderr:
        return BusyError(
            f"the schema was not copied: a table stayed locked for {limits.lock_seconds:g} seconds"
            + locked_tables(connection),
            hint="Run it again when no migration is running.",
        )
    return ConnectError(f"pg_dump could not copy the schema: {message}")
