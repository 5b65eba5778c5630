"""Apply one migration file: its lock, its transaction, its ledger row, its errors.

The ledger row goes in first, in the migration's own transaction: it is how two runners notice each
other, `supabase db push` among them.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import psycopg
from psycopg.pq import TransactionStatus

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import LOCK_ERRORS
from supabase_jobs.errors import ConnectError, MigrationError, PrivilegeError
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.locks import BlockingSession, BlockingSessionWatch, LockOptions, with_runner_lock
from supabase_jobs.parser.statements import Statement, split
from supabase_jobs.sources.files import Migration

_LOCK_TIMEOUT = "select pg_catalog.set_config('lock_timeout', %s, true)"
# A statement whose client was killed would go on, and keep its locks, until it is done. Linux only.
NOTICE_DEATH = """
select pg_catalog.set_config('client_connection_check_interval', '2s', true)
where pg_catalog.version() like '%linux%'
"""


_CREATED_CONCURRENTLY = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateSchema,
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateColumn,
)


class AlreadyAppliedError(Exception):
    """The ledger has this version already: another runner was faster."""


def prepare_ledger(connection: Connection, lock_options: LockOptions) -> None:
    """Create the ledger where it is missing, in a transaction of its own, as the Supabase CLI does."""
    for attempts_left in (2, 1, 0):
        try:
            with ledger_rights():
                with_runner_lock(
                    connection, lock_options, "the migration ledger", lambda _seen: ledger.ensure(connection)
                )
        except _CREATED_CONCURRENTLY:  # by supabase db push, which takes no lock
            if not attempts_left:
                raise
        else:
            return


def apply_file(connection: Connection, migration: Migration, lock_options: LockOptions) -> None:
    """Apply a migration in one transaction with its ledger row.

    Raises AlreadyAppliedError where another runner has written the row meanwhile, BusyError (5) where a lock or
    another runner did not give way in time, MigrationError (6) with file and line where a statement failed,
    ConnectError (7) where the connection was lost.
    """
    statements = split(migration.text)

    def work(seen: list[BlockingSession]) -> None:
        with BlockingSessionWatch(connection, lock_options.lock_timeout_ms, seen):
            record_and_run(connection, migration, statements, lock_options)

    with lost(connection, migration):
        with_runner_lock(connection, lock_options, migration.file_name, work)


def record_and_run(
    connection: Connection, migration: Migration, statements: Sequence[Statement], lock_options: LockOptions
) -> None:
    """Ledger row, every statement, and the checks that a commit would make, in the transaction that is open."""
    connection.execute("reset all")
    connection.execute(_LOCK_TIMEOUT, (f"{lock_options.lock_timeout_ms}ms",))
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
    """Write the ledger row of a migration; AlreadyAppliedError where there is one."""
    try:
        with ledger_rights():
            ledger.insert(connection, migration.version, migration.name, [s.text for s in statements])
    except psycopg.errors.UniqueViolation as error:
        raise AlreadyAppliedError from error


@contextmanager
def explain_lost_connection(connection: Connection, migration: Migration, what: str, hint: str) -> Iterator[None]:
    """Turn a connection that breaks while a file is applied into an error (7) that says what is left of the file."""
    try:
        yield
    except psycopg.Error as error:
        if not connection.broken:
            raise
        raise ConnectError(what, hint=hint, sqlstate=error.sqlstate, file=migration.label) from None


def lost(connection: Connection, migration: Migration) -> AbstractContextManager[None]:
    """`explain_lost_connection` for a file that runs in a transaction."""
    return explain_lost_connection(
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


@contextmanager
def _refusals(connection: Connection, migration: Migration, statement: Statement) -> Iterator[None]:
    """Turn what the server refuses into a MigrationError with the line that it points at."""
    try:
        yield
    except LOCK_ERRORS:
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
