"""Apply one migration file: its lock, its transaction, its ledger row, its errors.

The ledger row goes in first, in the migration's own transaction: it is how two runners notice each
other, `supabase db push` among them.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from supabase_jobs import ledger
from supabase_jobs.blockers import Blocker, Watch, describe
from supabase_jobs.database import Connection
from supabase_jobs.errors import BusyError, ConnectError, MigrationError, PrivilegeError
from supabase_jobs.sqlfiles import Migration
from supabase_jobs.statements import Statement, split

T = TypeVar("T")

# Any number will do as long as every runner takes the same; advisory locks are per database.
LOCK_KEY = 0x5355_5041_4A4F_4253
_TRY_LOCK = "select pg_catalog.pg_try_advisory_xact_lock(%s)"
_LOCK_TIMEOUT = "select pg_catalog.set_config('lock_timeout', %s, true)"
# A statement whose client was killed would go on, and keep its locks, until it is done. Linux only.
NOTICE_DEATH = """
select pg_catalog.set_config('client_connection_check_interval', '2s', true)
where pg_catalog.version() like '%linux%'
"""
_POLL_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0


@dataclass(frozen=True)
class Patience:
    """How long to wait for others: for a table lock, how often to try again, for another runner."""

    lock_timeout_ms: int = 4000
    retries: int = 5
    runner_seconds: float = 30.0


_MADE_MEANWHILE = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateSchema,
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateColumn,
)
# somebody else was in the way, and may not be at the next try
IN_THE_WAY = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


class TakenError(Exception):
    """The ledger has this version already: another runner was faster."""


def prepare_ledger(connection: Connection, patience: Patience) -> None:
    """Create the ledger where it is missing, in a transaction of its own, as the Supabase CLI does."""
    for attempts_left in (2, 1, 0):
        try:
            with ledger_rights():
                patiently(connection, patience, "the migration ledger", lambda _seen: ledger.ensure(connection))
        except _MADE_MEANWHILE:  # by supabase db push, which takes no lock
            if not attempts_left:
                raise
        else:
            return


def apply_file(connection: Connection, migration: Migration, patience: Patience) -> None:
    """Apply a migration in one transaction with its ledger row.

    Raises TakenError where another runner has written the row meanwhile, BusyError (5) where a lock or
    another runner did not give way in time, MigrationError (6) with file and line where a statement failed,
    ConnectError (7) where the connection was lost.
    """
    statements = split(migration.text)

    def work(seen: list[Blocker]) -> None:
        with Watch(connection, patience.lock_timeout_ms, seen):
            record_and_run(connection, migration, statements, patience)

    with lost(connection, migration):
        patiently(connection, patience, migration.file_name, work)


def record_and_run(
    connection: Connection, migration: Migration, statements: Sequence[Statement], patience: Patience
) -> None:
    """Ledger row, every statement, and the checks that a commit would make, in the transaction that is open."""
    connection.execute("reset all")
    connection.execute(_LOCK_TIMEOUT, (f"{patience.lock_timeout_ms}ms",))
    connection.execute(NOTICE_DEATH)
    record(connection, migration, statements)
    for statement in statements:
        _execute(connection, migration, statement)
    if statements:
        # deferred constraints now, so that their error names the file and not a commit
        with _refusals(connection, migration, statements[-1]):
            connection.execute("set constraints all immediate")
    # nothing that the file has set outlives it: through a pooler it would reach other clients
    connection.execute("reset role")
    connection.execute("reset all")


def record(connection: Connection, migration: Migration, statements: Sequence[Statement]) -> None:
    """Write the ledger row of a migration; TakenError where there is one."""
    try:
        with ledger_rights():
            ledger.insert(connection, migration.version, migration.name, [s.text for s in statements])
    except psycopg.errors.UniqueViolation as error:
        raise TakenError from error


def patiently(
    connection: Connection,
    patience: Patience,
    what: str,
    work: Callable[[list[Blocker]], T],
    *,
    rollback: bool = False,
) -> T:
    """Do some work in a transaction that holds the runners' lock; try again where others are in the way.

    The lock is tried, never waited on (a waiter makes `create index concurrently` deadlock), and belongs to
    the transaction, so that it holds through a transaction-mode pooler and is never left behind. `work`
    fills its list with whoever blocks it. With `rollback` the transaction ends in a rollback in any case.
    """
    deadline: float | None = None
    pauses = _growing_pauses(patience.retries)
    while True:
        seen: list[Blocker] = []
        try:
            with connection.transaction(force_rollback=rollback):
                if connection.execute(_TRY_LOCK, (LOCK_KEY,)).fetchone() == (True,):
                    return work(seen)
        except IN_THE_WAY as error:
            deadline = None
            pause = next(pauses, None)
            if pause is None:
                waited = f"could not get a lock within {patience.lock_timeout_ms} ms"
                if not isinstance(error, psycopg.errors.LockNotAvailable):
                    waited = f"{error.diag.message_primary}"
                raise BusyError(
                    f"{what}: {waited}, tried {patience.retries + 1} times; {describe(seen)}",
                    hint="Nothing of it was kept. Try again when traffic is lower, or raise --lock-timeout.",
                    sqlstate=error.sqlstate,
                ) from None
        else:
            deadline = deadline or time.monotonic() + patience.runner_seconds
            if time.monotonic() > deadline:
                raise BusyError(
                    f"another supabase-jobs has been applying migrations for {patience.runner_seconds:.0f} s",
                    hint="Wait for it to finish; `supabase-jobs status` shows how far it is.",
                )
            pause = _POLL_SECONDS * _jitter()
        time.sleep(pause)


@contextmanager
def told_when_lost(connection: Connection, migration: Migration, what: str, hint: str) -> Iterator[None]:
    """Turn a connection that breaks while a file is applied into an error (7) that says what is left of the file."""
    try:
        yield
    except psycopg.Error as error:
        if not connection.broken:
            raise
        raise ConnectError(what, hint=hint, sqlstate=error.sqlstate, file=migration.label) from None


def lost(connection: Connection, migration: Migration) -> AbstractContextManager[None]:
    """`told_when_lost` for a file that runs in a transaction."""
    return told_when_lost(
        connection,
        migration,
        f"the connection was lost while applying {migration.file_name}; nothing of it was kept,"
        " unless it was lost in the moment of the commit",
        "Run `supabase-jobs status` to see where the database is, then apply again.",
    )


@contextmanager
def ledger_rights() -> Iterator[None]:
    """Turn a missing right on the ledger into an error that says which role to use."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise PrivilegeError(
            f"the role may not write the migration ledger: {error.diag.message_primary}",
            hint="Connect as the role that applies migrations: postgres on Supabase.",
            sqlstate=error.sqlstate,
        ) from None


def _growing_pauses(retries: int) -> Iterator[float]:
    for attempt in range(retries):
        yield min(0.5 * 2.0**attempt, _LONGEST_PAUSE_SECONDS) * _jitter()


def _jitter() -> float:
    return random.uniform(0.5, 1.5)  # noqa: S311  so that runners do not try in step; no secret


@contextmanager
def _refusals(connection: Connection, migration: Migration, statement: Statement) -> Iterator[None]:
    """Turn what the server refuses into a MigrationError with the line that it points at."""
    try:
        yield
    except IN_THE_WAY:
        raise
    except psycopg.Error as error:
        if connection.broken:
            raise
        position = error.diag.statement_position
        raise MigrationError(
            f"{migration.file_name} failed, and nothing of it was kept: {error.diag.message_primary or error}",
            hint=error.diag.message_hint or error.diag.message_detail,
            sqlstate=error.sqlstate,
            file=migration.label,
            line=statement.line_at(int(position)) if position else statement.line,
        ) from None


def _execute(connection: Connection, migration: Migration, statement: Statement) -> None:
    with _refusals(connection, migration, statement):
        # by the extended protocol, as the CLI does: it takes one command, whatever the splitter thought of the text
        connection.execute(statement.text.encode(), binary=True)
    if connection.info.transaction_status is not TransactionStatus.INTRANS:
        # preflight refuses what the parser can read, and the server what it cannot; this is for what neither foresaw
        raise MigrationError(
            f"{migration.file_name} ended its own transaction, so what came before that was kept",
            hint="Take transaction control out of the file: each file is a transaction already.",
            file=migration.label,
            line=statement.line,
        )
