"""`apply --dry-run`: run every pending file in one transaction, report its locks, and roll back."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import BusyError
from supabase_jobs.findings import Verification
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.apply import explain_lost_transaction, record_and_run
from supabase_jobs.migrations.ledger import AlreadyAppliedError
from supabase_jobs.migrations.locks import BlockingSession, BlockingSessionWatch, LockOptions, with_runner_lock
from supabase_jobs.migrations.plan import plan, raise_problems
from supabase_jobs.sources.files import Migration, MigrationFiles

_TABLES = """
select c.oid::bigint, pg_catalog.format('%I.%I', n.nspname, c.relname)
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where c.relkind in ('r', 'p', 'm', 'f')
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'supabase_migrations')
"""
_HELD_LOCKS = """
select relation::bigint, mode
from pg_catalog.pg_locks
where pid = pg_catalog.pg_backend_pid() and locktype = 'relation' and granted
"""
# as in pg_locks, weakest first
_MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)


@dataclass(frozen=True)
class TableLock:
    """The strongest lock that a file takes on existing tables, and those tables."""

    mode: str
    tables: tuple[str, ...]


@dataclass(frozen=True)
class DryRunFile:
    """A file that ran. `lock` is None if it took no lock on an existing table beyond those of earlier files."""

    version: str
    name: str
    ms: float
    lock: TableLock | None


@dataclass(frozen=True)
class DryRun:
    """The files that ran, the nontransactional files that were skipped, and the result of `check` afterwards."""

    files: tuple[DryRunFile, ...]
    skipped: tuple[Migration, ...]
    verification: Verification | None


def dry_run(
    connection: Connection,
    files: MigrationFiles,
    *,
    to: str | None = None,
    include_all: bool = False,
    lock_options: LockOptions | None = None,
    check: Callable[[Connection], Verification] | None = None,
) -> tuple[DryRun, list[str]]:
    """Run the pending files and then `check` in one transaction that is rolled back.

    Returns the run, and the versions that were applied before. Raises what `apply_pending` raises. Sequences
    keep their new values: PostgreSQL never rolls them back.
    """
    migration_plan = plan(files, ledger.read(connection), to=to, include_all=include_all)
    raise_problems(migration_plan)
    try:
        run = _run_all(connection, migration_plan.pending, lock_options or LockOptions(), check)
    except AlreadyAppliedError:
        raise BusyError(
            "another runner applied a file during the dry run",
            hint="Wait until it has finished, then start the dry run again.",
        ) from None
    return run, list(migration_plan.applied)


def _run_all(
    connection: Connection,
    pending: Sequence[Migration],
    lock_options: LockOptions,
    check: Callable[[Connection], Verification] | None,
) -> DryRun:
    skipped = tuple(m for m in pending if not m.transactional)

    def work(blocking: list[BlockingSession]) -> DryRun:
        ledger.create_if_missing(connection)
        applied = {row.version for row in ledger.read(connection)}
        tables: dict[int, str] = dict(connection.execute(_TABLES.encode()).fetchall())
        files = []
        with BlockingSessionWatch(connection, lock_options.lock_timeout_ms, blocking):
            for migration in pending:
                if migration.transactional and migration.version not in applied:
                    files.append(_run(connection, migration, lock_options, tables))
        return DryRun(tuple(files), skipped, None if check is None else check(connection))

    if not pending:
        return DryRun((), (), None if check is None else check(connection))
    with explain_lost_transaction(connection, pending[-1]):
        return with_runner_lock(connection, lock_options, "the dry run", work, rollback=True)


def _run(connection: Connection, migration: Migration, lock_options: LockOptions, tables: dict[int, str]) -> DryRunFile:
    before = _held_locks(connection)
    started = time.monotonic()
    record_and_run(connection, migration, lock_options)
    ms = (time.monotonic() - started) * 1000
    return DryRunFile(migration.version, migration.name, ms, _strongest(_held_locks(connection) - before, tables))


def _held_locks(connection: Connection) -> set[tuple[int, str]]:
    return set(connection.execute(_HELD_LOCKS).fetchall())


def _strongest(locks: set[tuple[int, str]], tables: dict[int, str]) -> TableLock | None:
    on_existing = {(tables[relation], mode) for relation, mode in locks if relation in tables}
    if not on_existing:
        return None
    mode = max((mode for _, mode in on_existing), key=_MODES.index)
    return TableLock(mode, tuple(sorted(name for name, m in on_existing if m == mode)))
