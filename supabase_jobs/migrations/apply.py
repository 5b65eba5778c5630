"""Apply the pending migrations, each file in a transaction of its own."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import DriftError
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.locks import LockOptions
from supabase_jobs.migrations.nontransactional import apply_nontransactional
from supabase_jobs.migrations.plan import State, entry_of, plan, stop_at_problems
from supabase_jobs.migrations.runner import AlreadyAppliedError, apply_file, prepare_ledger
from supabase_jobs.sources.files import Files, Migration


@dataclass(frozen=True)
class Applied:
    """A migration that this run applied, and how long it took."""

    version: str
    name: str
    ms: float


@dataclass(frozen=True)
class ApplyObserver:
    """What a caller wants to hear while files are applied."""

    narrate: Callable[[str], None] = lambda _line: None
    progress: Callable[[str], AbstractContextManager[None]] = lambda _line: nullcontext()
    applied: Callable[[Applied], None] = lambda _applied: None


def apply_pending(
    connection: Connection,
    files: Files,
    *,
    to: str | None = None,
    include_all: bool = False,
    lock_options: LockOptions | None = None,
    observer: ApplyObserver | None = None,
) -> tuple[list[Applied], list[str]]:
    """Apply what is pending, each file in a transaction of its own; returns it, and the versions applied before.

    Raises, before anything ran, ConfigError (2) for an unknown `to` or a file that is refused and DriftError
    (4) where files and ledger disagree; BusyError (5) where a lock or another runner did not give way in time;
    MigrationError (6) with file and line where a statement failed, which undoes that file and keeps those before it.
    """
    lock_options = lock_options or LockOptions()
    observer = observer or ApplyObserver()
    found = plan(files, ledger.read(connection), to=to, include_all=include_all)
    stop_at_problems(found)
    applied: list[Applied] = []
    before = list(found.applied)
    if found.pending:
        prepare_ledger(connection, lock_options)
    for migration in found.pending:
        started = time.monotonic()
        try:
            with observer.progress(f"applying {migration.file_name}"):
                if migration.transactional:
                    apply_file(connection, migration, lock_options)
                else:
                    apply_nontransactional(connection, migration, lock_options, observer.narrate)
            applied.append(Applied(migration.version, migration.name, (time.monotonic() - started) * 1000))
            observer.applied(applied[-1])
        except AlreadyAppliedError:
            _check_already_applied(connection, migration)
            observer.narrate(f"{migration.file_name}: another runner has applied it meanwhile")
            before.append(migration.version)
    return applied, before


def _check_already_applied(connection: Connection, migration: Migration) -> None:
    """Another runner's row is fine where it means the same; else two files share a version by accident."""
    row = next((r for r in ledger.read(connection) if r.version == migration.version), None)
    if row is not None and entry_of(migration.version, migration, row).state is State.EDITED:
        raise DriftError(
            f"{migration.file_name}: another runner has just applied a different text under this version",
            hint="Give one of the two migrations a version of its own.",
            file=migration.label,
        )
