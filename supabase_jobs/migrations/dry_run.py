"""`apply --dry-run`: really run every pending file, look at what that took, and roll all of it back."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import BusyError
from supabase_jobs.findings import Verification
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.locks import BlockingSession, BlockingSessionWatch, LockOptions, with_runner_lock
from supabase_jobs.migrations.plan import plan, stop_at_problems
from supabase_jobs.migrations.runner import AlreadyAppliedError, ledger_rights, lost, record_and_run
from supabase_jobs.parser.statements import split
from supabase_jobs.sources.files import Files, Migration

_TABLES = """
select c.oid::bigint, pg_catalog.format('%I.%I', n.nspname, c.relname)
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where c.relkind in ('r', 'p', 'm', 'f')
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'supabase_migrations')
"""
_HELD = """
select relation::bigint, mode
from pg_catalog.pg_locks
where pid = pg_catalog.pg_backend_pid() and locktype = 'relation' and granted
"""
# weakest first; the names are pg_locks'
_STRENGTH = (
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
class Lock:
    """The strongest lock that a file takes on tables that were there before, and on which of them."""

    mode: str
    tables: tuple[str, ...]


@dataclass(frozen=True)
class DryRunFile:
    """A file that ran; `lock` is None where it took none on a table that was there, beyond those of earlier files."""

    version: str
    name: str
    ms: float
    lock: Lock | None


@dataclass(frozen=True)
class DryRun:
    """What ran, what was passed over because it cannot run in a transaction, and what `check` said afterwards."""

    files: tuple[DryRunFile, ...]
    skipped: tuple[Migration, ...]
    verification: Verification | None


def dry_run(
    connection: Connection,
    files: Files,
    *,
    to: str | None = None,
    include_all: bool = False,
    lock_options: LockOptions | None = None,
    check: Callable[[Connection], Verification] | None = None,
) -> tuple[DryRun, list[str]]:
    """Run what is pending in one transaction, with `check` at its end, and roll it back; raises what `apply` does."""
    found = plan(files, ledger.read(connection), to=to, include_all=include_all)
    stop_at_problems(found)
    try:
        return _run_all(connection, found.pending, lock_options or LockOptions(), check), list(found.applied)
    except AlreadyAppliedError:
        raise BusyError(
            "another runner has applied a file of this dry run meanwhile",
            hint="Wait until it is done, and start it again.",
        ) from None


def _run_all(
    connection: Connection,
    todo: Sequence[Migration],
    lock_options: LockOptions,
    check: Callable[[Connection], Verification] | None,
) -> DryRun:
    """Run the pending files in one transaction, then `check` in it, and roll it back.

    Sequences keep the values they were advanced to: PostgreSQL never takes these back. Raises what applying
    raises: BusyError (5), MigrationError (6) with file and line, ConnectError (7).
    """
    skipped = tuple(m for m in todo if not m.transactional)

    def work(seen: list[BlockingSession]) -> DryRun:
        with ledger_rights():
            ledger.ensure(connection)
        taken = {row.version for row in ledger.read(connection)}
        tables: dict[int, str] = dict(connection.execute(_TABLES.encode()).fetchall())
        files = []
        with BlockingSessionWatch(connection, lock_options.lock_timeout_ms, seen):
            for migration in todo:
                if migration.transactional and migration.version not in taken:
                    files.append(_run(connection, migration, lock_options, tables))
        return DryRun(tuple(files), skipped, None if check is None else check(connection))

    last = todo[-1] if todo else None
    if last is None:
        return DryRun((), (), None if check is None else check(connection))
    with lost(connection, last):
        return with_runner_lock(connection, lock_options, "the dry run", work, rollback=True)


def _run(connection: Connection, migration: Migration, lock_options: LockOptions, tables: dict[int, str]) -> DryRunFile:
    before = _held(connection)
    started = time.monotonic()
    record_and_run(connection, migration, split(migration.text), lock_options)
    return DryRunFile(
        migration.version,
        migration.name,
        (time.monotonic() - started) * 1000,
        _strongest(_held(connection) - before, tables),
    )


def _held(connection: Connection) -> set[tuple[int, str]]:
    return set(connection.execute(_HELD).fetchall())


def _strongest(held: set[tuple[int, str]], tables: dict[int, str]) -> Lock | None:
    old = {(tables[relation], mode) for relation, mode in held if relation in tables}
    if not old:
        return None
    mode = max((mode for _, mode in old), key=_STRENGTH.index)
    return Lock(mode, tuple(sorted(name for name, m in old if m == mode)))
