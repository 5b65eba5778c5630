"""The transaction of a migration file: its ledger row, its statements and its checks, sent in one
round trip.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import NoReturn

import psycopg

from supabase_jobs.database.batch import Answer, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import (
    LOCK_ERRORS,
    explain_lost_connection,
    platform_hint,
    public_message,
)
from supabase_jobs.database.hidden_values import values_are_hidden
from supabase_jobs.database.parser.statements import FileStatement
from supabase_jobs.database.time_limits import time_limits
from supabase_jobs.errors import MigrationError
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.locks import (
    LOCK_KEY,
    LockOptions,
    RunnerBusyError,
    note_locked_file,
)
from supabase_jobs.sources.files import Migration

# READ COMMITTED, so that the ledger is read as it is after the runner lock was taken
BEGIN = Statement("begin isolation level read committed")
# Division by zero unless this transaction still holds the runner lock: a file that commits releases
# it.
_CHECK_TRANSACTION = """
select 1 / pg_catalog.count(*)::pg_catalog.int4
from pg_catalog.pg_locks
where locktype = 'advisory'
  and pid = pg_catalog.pg_backend_pid()
  and (classid::pg_catalog.int8 << 32) | objid::pg_catalog.int8 = %s
  and granted
"""


class Step(Enum):
    """The purpose of a command, by which its failure is explained."""

    SETUP = auto()
    RUNNER_LOCK = auto()
    INSERT_ROW = auto()
    FILE = auto()
    CHECK_TRANSACTION = auto()
    CHECK_ROW = auto()


@dataclass(frozen=True)
class Command:
    """A statement to send, its purpose, and the file and the statement of the file that it belongs
    to, if any.
    """

    statement: Statement
    step: Step = Step.SETUP
    migration: Migration | None = None
    source: FileStatement | None = None


def setup_commands(lock_options: LockOptions) -> list[Command]:
    """The settings of a transaction that runs files."""
    return [
        Command(Statement("reset all")),
        Command(time_limits(lock_timeout=lock_options.lock_timeout_ms)),
    ]


def file_commands(migration: Migration, lock_options: LockOptions) -> list[Command]:
    """The ledger row, the statements, the deferred constraints and the checks of a file; the last
    answer is its digest.

    Settings of the file end with it: through a pooler they would reach other clients.
    """
    commands = [
        *setup_commands(lock_options),
        Command(ledger.insert_statement(migration), Step.INSERT_ROW, migration),
        *(
            Command(Statement(s.text, decoded=False), Step.FILE, migration, s)
            for s in migration.executable_statements
        ),
    ]
    if migration.executable_statements:
        # here the error of a deferred constraint names the file; at the commit it would not
        last = migration.executable_statements[-1]
        commands.append(
            Command(Statement("set constraints all immediate"), Step.FILE, migration, last)
        )
    return [
        *commands,
        Command(Statement("reset role")),
        Command(Statement("reset all")),
        Command(Statement(_CHECK_TRANSACTION, [LOCK_KEY]), Step.CHECK_TRANSACTION, migration),
        Command(ledger.check_statement(migration), Step.CHECK_ROW, migration),
    ]


def send(connection: Connection, commands: Sequence[Command]) -> tuple[Answer, ...]:
    """Run the commands in one round trip, up to the first that fails; the transaction is rolled
    back then.

    Raises psycopg's errors for a lock (`LOCK_ERRORS`) and a lost connection, RunnerBusyError,
    AlreadyAppliedError, PrivilegeError (7), and MigrationError (6) with file and line.
    """
    [result] = run_groups(connection, [[command.statement for command in commands]])
    if result.error is not None:
        if not connection.broken:
            connection.rollback()
        _raise(commands[len(result.answers)], result.error, connection)
    return result.answers


def _raise(command: Command, error: psycopg.Error, connection: Connection) -> NoReturn:
    migration = command.migration
    if command.step is Step.RUNNER_LOCK and isinstance(error, psycopg.errors.DivisionByZero):
        raise RunnerBusyError from None
    if migration is None or connection.broken:
        raise error
    if isinstance(error, LOCK_ERRORS):
        note_locked_file(error, migration)
        raise error
    match command.step:
        case Step.INSERT_ROW:
            with ledger.explain_insert(migration):
                raise error
        case Step.CHECK_TRANSACTION if isinstance(error, psycopg.errors.DivisionByZero):
            raise MigrationError(
                f"{migration.file_name} ended its own transaction, so the statements before that"
                " were kept",
                hint="Remove transaction control from the file: each file already runs in a"
                " transaction.",
                file=migration.label,
            ) from None
        case Step.CHECK_ROW if isinstance(error, psycopg.errors.DivisionByZero):
            raise MigrationError(
                f"the ledger row of {migration.file_name} is missing or changed after the file"
                " ran; it was rolled back",
                hint="Look for a trigger on supabase_migrations.schema_migrations, or a statement"
                " of the file on it.",
                file=migration.label,
            ) from None
    source = command.source
    raise MigrationError(
        f"{migration.file_name} failed and was rolled back: {public_message(error) or error}",
        hint=platform_hint(error) or _hint(error),
        sqlstate=error.sqlstate,
        file=migration.label,
        line=None if source is None else source.line_at(error.diag.statement_position),
    ) from None


def _hint(error: psycopg.Error) -> str | None:
    """The server's hint or detail; both may hold values of rows."""
    if values_are_hidden():
        return None
    return error.diag.message_hint or error.diag.message_detail


@contextmanager
def explain_lost_transaction(connection: Connection, migration: Migration) -> Iterator[None]:
    """Report which file was rolled back if the connection is lost."""
    with explain_lost_connection(
        connection,
        f"the connection was lost while applying {migration.file_name}; the file was rolled back,"
        " unless the connection"
        " was lost during the commit",
        hint="Run `supabase-jobs status` to see what is applied, then apply again.",
        file=migration.label,
    ):
        yield
