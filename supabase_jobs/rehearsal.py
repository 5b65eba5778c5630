"""`apply --dry-run`: really run every pending file, look at what that took, and roll all of it back."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supabase_jobs import ledger
from supabase_jobs.blockers import Blocker, Watch
from supabase_jobs.database import Connection
from supabase_jobs.findings import Verification
from supabase_jobs.runner import Patience, ledger_rights, lost, patiently, record_and_run
from supabase_jobs.sqlfiles import Migration
from supabase_jobs.statements import split

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
class Rehearsed:
    """A file that ran; `lock` is None where it took none on a table that was there, beyond those of earlier files."""

    version: str
    name: str
    ms: float
    lock: Lock | None


@dataclass(frozen=True)
class Rehearsal:
    """What ran, what was passed over because it cannot run in a transaction, and what `check` said afterwards."""

    files: tuple[Rehearsed, ...]
    passed_over: tuple[Migration, ...]
    verification: Verification | None


def rehearse(
    connection: Connection,
    todo: Sequence[Migration],
    patience: Patience,
    check: Callable[[Connection], Verification] | None,
) -> Rehearsal:
    """Run the pending files in one transaction, then `check` in it, and roll it back.

    Sequences keep the values they were advanced to: PostgreSQL never takes these back. Raises what applying
    raises: BusyError (5), MigrationError (6) with file and line, ConnectError (7).
    """
    passed_over = tuple(m for m in todo if not m.transactional)

    def work(seen: list[Blocker]) -> Rehearsal:
        with ledger_rights():
            ledger.ensure(connection)
        taken = {row.version for row in ledger.read(connection)}
        tables: dict[int, str] = dict(connection.execute(_TABLES.encode()).fetchall())
        files = []
        with Watch(connection, patience.lock_timeout_ms, seen):
            for migration in todo:
                if migration.transactional and migration.version not in taken:
                    files.append(_run(connection, migration, patience, tables))
        return Rehearsal(tuple(files), passed_over, None if check is None else check(connection))

    last = todo[-1] if todo else None
    if last is None:
        return Rehearsal((), (), None if check is None else check(connection))
    with lost(connection, last):
        return patiently(connection, patience, "the rehearsal", work, rollback=True)


def _run(connection: Connection, migration: Migration, patience: Patience, tables: dict[int, str]) -> Rehearsed:
    before = _held(connection)
    started = time.monotonic()
    record_and_run(connection, migration, split(migration.text), patience)
    return Rehearsed(
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
