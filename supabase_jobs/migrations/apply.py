"""Apply the pending migrations, each file in a transaction of its own.

The ledger row is written first, in the transaction of its migration: two runners, `supabase db push` among them, notice
each other by that row.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import psycopg
from psycopg.pq import TransactionStatus

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import LOCK_ERRORS, explain_lost_connection
from supabase_jobs.errors import DriftError, MigrationError
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.ledger import AlreadyAppliedError
from supabase_jobs.migrations.locks import BlockingSession, BlockingSessionWatch, LockOptions, with_runner_lock
from supabase_jobs.migrations.nontransactional import apply_nontransactional
from supabase_jobs.migrations.plan import State, plan, raise_problems, status_of
from supabase_jobs.parser.statements import Statement
from supabase_jobs.sources.files import Migration, MigrationFiles

_LOCK_TIMEOUT = "select pg_catalog.set_config('lock_timeout', %s, true)"
# Without it the server finishes the statement of a killed client, and keeps its locks until then. Linux only.
_CHECK_CLIENT = """
select pg_catalog.set_config('client_connection_check_interval', '2s', true)
where pg_catalog.version() like '%linux%'
"""
_CREATED_CONCURRENTLY = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateSchema,
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateColumn,
)


@dataclass(frozen=True)
class AppliedMigration:
    """A migration that this run applied, and the time that it took."""

    version: str
    name: str
    ms: float


@dataclass(frozen=True)
class ApplyObserver:
    """The callbacks of a run: messages, the file in progress, and each applied file."""

    narrate: Callable[[str], None] = lambda _line: None
    progress: Callable[[str], AbstractContextManager[None]] = lambda _line: nullcontext()
    applied: Callable[[AppliedMigration], None] = lambda _applied: None


def apply_pending(
    connection: Connection,
    files: MigrationFiles,
    *,
    to: str | None = None,
    include_all: bool = False,
    lock_options: LockOptions | None = None,
    observer: ApplyObserver | None = None,
) -> tuple[list[AppliedMigration], list[str]]:
    """Apply the pending files, each in a transaction; return them, and the versions that were applied before.

    Raises ConfigError (2) for an unknown `to` or a file that cannot be applied, and DriftError (4) if files and ledger
    disagree, both before anything runs; BusyError (5) after a lock timeout or if another runner is at work; and
    MigrationError (6) with file and line if a statement fails, which rolls back its file and keeps the files before it.
    """
    lock_options = lock_options or LockOptions()
    observer = observer or ApplyObserver()
    migration_plan = plan(files, ledger.read(connection), to=to, include_all=include_all)
    raise_problems(migration_plan)
    applied: list[AppliedMigration] = []
    before = list(migration_plan.applied)
    if migration_plan.pending:
        _prepare_ledger(connection, lock_options)
    for migration in migration_plan.pending:
        started = time.monotonic()
        try:
            with observer.progress(f"applying {migration.file_name}"):
                if migration.transactional:
                    _apply_file(connection, migration, lock_options)
                else:
                    apply_nontransactional(connection, migration, lock_options, observer.narrate)
            ms = (time.monotonic() - started) * 1000
            applied.append(AppliedMigration(migration.version, migration.name, ms))
            observer.applied(applied[-1])
        except AlreadyAppliedError:
            _check_same_text(connection, migration)
            observer.narrate(f"{migration.file_name}: another runner has just applied it")
            before.append(migration.version)
    return applied, before


def _prepare_ledger(connection: Connection, lock_options: LockOptions) -> None:
    """Create the ledger if it is missing, in a transaction of its own, as the Supabase CLI does."""
    for attempts_left in (2, 1, 0):
        try:
            with_runner_lock(
                connection, lock_options, "the migration ledger", lambda _blocking: ledger.create_if_missing(connection)
            )
        except _CREATED_CONCURRENTLY:  # by supabase db push, which takes no lock
            if not attempts_left:
                raise
        else:
            return


def _check_same_text(connection: Connection, migration: Migration) -> None:
    """Raise DriftError if another runner has applied a different migration under this version."""
    row = next((r for r in ledger.read(connection) if r.version == migration.version), None)
    if row is not None and status_of(migration.version, migration, row).state is State.EDITED:
        raise DriftError(
            f"{migration.file_name}: another runner has just applied a different text under this version",
            hint="Give one of the two migrations a version of its own.",
            file=migration.label,
        )


def _apply_file(connection: Connection, migration: Migration, lock_options: LockOptions) -> None:
    """Apply a file in one transaction with its ledger row.

    Raises AlreadyAppliedError, BusyError (5), MigrationError (6), and ConnectError (7) if the connection is lost.
    """

    def work(blocking: list[BlockingSession]) -> None:
        with BlockingSessionWatch(connection, lock_options.lock_timeout_ms, blocking):
            record_and_run(connection, migration, lock_options)

    with explain_lost_transaction(connection, migration):
        with_runner_lock(connection, lock_options, migration.file_name, work)


def record_and_run(connection: Connection, migration: Migration, lock_options: LockOptions) -> None:
    """Write the ledger row, run every statement and check the deferred constraints, in the open transaction."""
    connection.execute("reset all")
    connection.execute(_LOCK_TIMEOUT, (f"{lock_options.lock_timeout_ms}ms",))
    connection.execute(_CHECK_CLIENT)
    ledger.insert(connection, migration)
    for statement in migration.statements:
        _execute(connection, migration, statement)
    if migration.statements:
        # here the error of a deferred constraint names the file; at the commit it would not
        with _explain_failure(connection, migration, migration.statements[-1]):
            connection.execute("set constraints all immediate")
    # settings of the file end with it; through a pooler they would reach other clients
    connection.execute("reset role")
    connection.execute("reset all")


def explain_lost_transaction(connection: Connection, migration: Migration) -> AbstractContextManager[None]:
    """Report which file was rolled back if the connection is lost."""
    return explain_lost_connection(
        connection,
        f"the connection was lost while applying {migration.file_name}; the file was rolled back, unless the connection"
        " was lost during the commit",
        hint="Run `supabase-jobs status` to see what is applied, then apply again.",
        file=migration.label,
    )


@contextmanager
def _explain_failure(connection: Connection, migration: Migration, statement: Statement) -> Iterator[None]:
    """Translate a failed statement into a MigrationError with the line that the server points at."""
    try:
        yield
    except LOCK_ERRORS:
        raise
    except psycopg.Error as error:
        if connection.broken:
            raise
        raise MigrationError(
            f"{migration.file_name} failed and was rolled back: {error.diag.message_primary or error}",
            hint=error.diag.message_hint or error.diag.message_detail,
            sqlstate=error.sqlstate,
            file=migration.label,
            line=statement.line_at(error.diag.statement_position),
        ) from None


def _execute(connection: Connection, migration: Migration, statement: Statement) -> None:
    with _explain_failure(connection, migration, statement):
        # The extended protocol, as in the CLI: the server accepts one command only, wherever the text was split.
        connection.execute(statement.text.encode(), binary=True)
    if connection.info.transaction_status is not TransactionStatus.INTRANS:
        # Preflight refuses the cases that the parser can read, and the server those that it cannot.
        raise MigrationError(
            f"{migration.file_name} ended its own transaction, so the statements before that were kept",
            hint="Remove transaction control from the file: each file already runs in a transaction.",
            file=migration.label,
            line=statement.line,
        )
