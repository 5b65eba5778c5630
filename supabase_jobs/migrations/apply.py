"""Apply the pending migrations, each file in a transaction of its own.

A file takes two round trips: the first takes the runner lock and reads the ledger again, the second
runs the file and commits. So table locks are held for the time of the server, not of the network.
The ledger row is written first: two runners, `supabase db push` among them, notice each other by
that row.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import psycopg

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.blocking import BlockingSession
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import DriftError
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.ledger import AlreadyAppliedError, Ledger, LedgerChangedError
from supabase_jobs.migrations.locks import (
    LOCK_KEY,
    TRY_LOCK,
    BlockingSessionWatch,
    LockOptions,
    RunnerBusyError,
    retry_while_locked,
)
from supabase_jobs.migrations.nontransactional import apply_nontransactional
from supabase_jobs.migrations.plan import MigrationPlan, State, plan, raise_problems, status_of
from supabase_jobs.migrations.table_locks import expected_locks
from supabase_jobs.migrations.transaction import (
    BEGIN,
    Command,
    explain_lost_transaction,
    file_commands,
    send,
    setup_commands,
)
from supabase_jobs.sources.files import Migration, MigrationFiles

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
    """The callbacks of a run: messages, the file in progress, each applied file, the number of a
    file and of all.
    """

    narrate: Callable[[str], None] = lambda _line: None
    progress: Callable[[str], AbstractContextManager[None]] = lambda _line: nullcontext()
    applied: Callable[[AppliedMigration], None] = lambda _applied: None
    advance: Callable[[int, int], None] = lambda _number, _total: None


def apply_pending(
    connection: Connection,
    files: MigrationFiles,
    *,
    to: str | None = None,
    include_all: bool = False,
    lock_options: LockOptions | None = None,
    observer: ApplyObserver | None = None,
) -> tuple[list[AppliedMigration], list[str]]:
    """Apply the pending files, each in a transaction; return them, and the versions that were
    applied before.

    The plan is checked again under the runner lock of each file. Raises ConfigError (2) for an
    unknown `to` or a file that cannot be applied, before anything runs; DriftError (4) if files and
    ledger disagree, before or during the run; BusyError (5) after the last retry of a lock timeout
    or if another runner is active; and MigrationError (6) with file and line if a statement fails,
    which rolls back its file and keeps the files before it.
    """
    lock_options = lock_options or LockOptions()
    observer = observer or ApplyObserver()

    def make_plan() -> tuple[Ledger, MigrationPlan]:
        current = ledger.read(connection, lock_options)
        migration_plan = plan(files, current.rows, to=to, include_all=include_all)
        raise_problems(migration_plan)
        return current, migration_plan

    current, migration_plan = make_plan()
    applied: list[AppliedMigration] = []
    before = list(migration_plan.applied)
    pending = list(migration_plan.pending)
    if pending:
        if not current.is_complete:
            _create_ledger(connection, lock_options)
        for warning in (
            warning for migration in pending for warning in migration.transaction_warnings
        ):
            observer.narrate(f"warning: {warning}")
        for file, locks in expected_locks(connection, files.migrations, pending).items():
            observer.narrate(f"note: {file} locks until it commits: {'; '.join(map(str, locks))}")
    digests = current.digests
    while pending:
        migration = pending[0]
        started = time.monotonic()
        try:
            with observer.progress(f"applying {migration.file_name}"):
                observer.advance(len(applied) + 1, len(applied) + len(pending))
                if migration.transactional:
                    digests[migration.version] = _apply_file(
                        connection, migration, digests, lock_options
                    )
                else:
                    apply_nontransactional(
                        connection, migration, digests, lock_options, observer.narrate
                    )
                    digests = ledger.digests(connection)
        except (AlreadyAppliedError, LedgerChangedError) as error:
            _check_same_text(connection, migration, error)
            own = {done.version for done in applied}
            current, now_applied = make_plan()
            for other in [m for m in pending if m.version in now_applied.applied]:
                observer.narrate(f"{other.file_name}: another runner has just applied it")
            before = [version for version in now_applied.applied if version not in own]
            pending = list(now_applied.pending)
            digests = current.digests
        else:
            del pending[0]
            ms = (time.monotonic() - started) * 1000
            applied.append(AppliedMigration(migration.version, migration.name, ms))
            observer.applied(applied[-1])
    return applied, before


def _create_ledger(connection: Connection, lock_options: LockOptions) -> None:
    """Create the ledger, or its newer columns, in a transaction of its own, as the Supabase CLI
    does.
    """
    create = [
        Command(statement) for statement in (*ledger.create_statements(), Statement("commit"))
    ]
    commands = [Command(BEGIN), *setup_commands(lock_options), *create]
    for attempts_left in (2, 1, 0):
        try:
            with ledger.explain_missing_privilege():
                retry_while_locked(
                    lock_options,
                    "the migration ledger",
                    lambda _blocking: send(connection, commands),
                )
        except _CREATED_CONCURRENTLY:  # by supabase db push, which takes no lock
            if not attempts_left:
                raise
        else:
            return


def _check_same_text(
    connection: Connection, migration: Migration, error: AlreadyAppliedError | LedgerChangedError
) -> None:
    """Raise DriftError if another runner has applied a different migration under this version.

    Raises MigrationError if the ledger rejects the row for another reason.
    """
    row = next((r for r in ledger.read(connection).rows if r.version == migration.version), None)
    if row is None:
        if isinstance(error, AlreadyAppliedError):
            raise error.rejection from None
    elif status_of(migration.version, migration, row).state is State.EDITED:
        raise DriftError(
            f"{migration.file_name}: another runner has just applied a different text under this"
            " version",
            hint="Give one of the two migrations a version of its own.",
            file=migration.label,
        )


def _apply_file(
    connection: Connection,
    migration: Migration,
    digests: dict[str, str | None],
    lock_options: LockOptions,
) -> str | None:
    """Apply a file in one transaction with its ledger row; return the digest of that row.

    Raises AlreadyAppliedError or LedgerChangedError if the ledger no longer has these `digests`,
    BusyError (5), MigrationError (6), and ConnectError (7) if the connection is lost.
    """
    begin = [
        Command(BEGIN),
        *setup_commands(lock_options),
        Command(Statement(TRY_LOCK, [LOCK_KEY])),
        Command(Statement(ledger.DIGESTS)),
    ]
    run = [
        *file_commands(migration, lock_options),
        Command(Statement("commit"), migration=migration),
    ]

    def attempt(blocking: list[BlockingSession]) -> str | None:
        *_, lock, current = send(connection, begin)
        if lock.rows[0] != (True,):
            connection.rollback()
            raise RunnerBusyError
        if dict(current.rows) != digests:
            connection.rollback()
            raise LedgerChangedError
        with BlockingSessionWatch(connection, lock_options.lock_timeout_ms, blocking):
            *_, row, _commit = send(connection, run)
        digest: str | None = row.rows[0][1]
        return digest

    with explain_lost_transaction(connection, migration):
        return retry_while_locked(lock_options, migration.file_name, attempt)
