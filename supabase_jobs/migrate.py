"""Plan, status, apply: migration files against the ledger."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from supabase_jobs import ledger
from supabase_jobs.database import Connection
from supabase_jobs.errors import ConfigError, DriftError
from supabase_jobs.runner import Patience, TakenError, apply_file, prepare_ledger
from supabase_jobs.sqlfiles import Migration
from supabase_jobs.statements import split


class State(StrEnum):
    """What a version is: in the files, in the ledger, in both, in both with another text."""

    APPLIED = "applied"
    PENDING = "pending"
    EDITED = "edited"
    REMOTE_ONLY = "remote-only"


@dataclass(frozen=True)
class Entry:
    """One version, with its file and its ledger row as far as there are any."""

    version: str
    name: str
    state: State
    migration: Migration | None
    row: ledger.Row | None


@dataclass(frozen=True)
class Problem:
    """Why `apply` would stop: `kind` is edited, remote-only or out-of-order."""

    version: str
    name: str
    kind: str
    message: str


@dataclass(frozen=True)
class Applied:
    """A migration that this run applied, and how long it took."""

    version: str
    name: str
    ms: float


_EXPLAINED = {
    State.EDITED: "the file differs from what was applied; put it back as it was,"
    " and make the change in a new migration",
    State.REMOTE_ONLY: "the database has it and the files do not; get the file (git pull, or supabase migration fetch)"
    " before applying more",
}
_LATE = "it is older than {}, which is applied; give it a newer version, or apply it late with --include-all"


def status(migrations: Sequence[Migration], rows: Sequence[ledger.Row]) -> list[Entry]:
    """Every version of the files and the ledger, by version as text. Touches no database."""
    files = {m.version: m for m in migrations}
    applied = {r.version: r for r in rows}
    return [_entry(v, files.get(v), applied.get(v)) for v in sorted(files.keys() | applied.keys())]


def pending(entries: Sequence[Entry], to: str | None = None) -> list[Migration]:
    """The migrations still to apply, up to and including version `to`; ConfigError where no file has it."""
    if to is not None and not any(e.version == to and e.migration for e in entries):
        raise ConfigError(f"--to {to}: no migration file has this version", hint="`status` lists the versions.")
    return [
        e.migration
        for e in entries
        if e.state is State.PENDING and e.migration is not None and (to is None or e.version <= to)
    ]


def problems(entries: Sequence[Entry], *, include_all: bool = False, to: str | None = None) -> list[Problem]:
    """What stands in the way of applying, each with its explanation; none where all is well."""
    newest = max((e.version for e in entries if e.row is not None), default="")
    found = []
    for entry in entries:
        late = entry.state is State.PENDING and entry.version < newest and (to is None or entry.version <= to)
        if entry.state in _EXPLAINED:
            found.append(Problem(entry.version, entry.name, entry.state, _EXPLAINED[entry.state]))
        elif late and not include_all:
            found.append(Problem(entry.version, entry.name, "out-of-order", _LATE.format(newest)))
    return found


def apply(
    connection: Connection,
    migrations: Sequence[Migration],
    *,
    to: str | None = None,
    include_all: bool = False,
    patience: Patience | None = None,
    narrate: Callable[[str], None] = lambda _line: None,
    on_applied: Callable[[Applied], None] = lambda _applied: None,
) -> tuple[list[Applied], list[str]]:
    """Apply what is pending, each file in a transaction of its own; returns it, and the versions applied before.

    Raises ConfigError (2) for an unknown `to`, DriftError (4) before anything ran where files and ledger
    disagree, BusyError (5) where a lock or another runner did not give way in time, MigrationError (6)
    with file and line where a statement failed, which undoes that file and keeps those before it.
    """
    patience = patience or Patience()
    entries = status(migrations, ledger.read(connection))
    todo = pending(entries, to)
    if found := problems(entries, include_all=include_all, to=to):
        raise DriftError(
            "the database and the migration files disagree, so nothing was applied:\n"
            + "\n".join(f"  {p.version} {p.name} ({p.kind}): {p.message}" for p in found),
            hint="`supabase-jobs status` shows every version.",
        )
    applied = []
    before = [e.version for e in entries if e.state is State.APPLIED]
    if todo:
        prepare_ledger(connection, patience)
    for migration in todo:
        narrate(f"applying {migration.file_name}")
        started = time.monotonic()
        try:
            apply_file(connection, migration, patience)
            applied.append(Applied(migration.version, migration.name, (time.monotonic() - started) * 1000))
            on_applied(applied[-1])
        except TakenError:
            _check_taken(connection, migration)
            narrate(f"{migration.file_name}: another runner has applied it meanwhile")
            before.append(migration.version)
    return applied, before


def _check_taken(connection: Connection, migration: Migration) -> None:
    """Another runner's row is fine where it holds our text; else the two files share a version by accident."""
    row = next((r for r in ledger.read(connection) if r.version == migration.version), None)
    if row is not None and _entry(migration.version, migration, row).state is State.EDITED:
        raise DriftError(
            f"{migration.file_name}: another runner has just applied a different text under this version",
            hint="Give one of the two migrations a version of its own.",
            file=migration.label,
        )


def _entry(version: str, migration: Migration | None, row: ledger.Row | None) -> Entry:
    if migration is None:
        assert row is not None  # noqa: S101  a version comes from one or the other
        return Entry(version, row.name or "", State.REMOTE_ONLY, None, row)
    if row is None:
        return Entry(version, migration.name, State.PENDING, migration, None)
    # old rows, and rows written by hand, hold no statements: then there is nothing to compare
    same = not row.statements or list(row.statements) == [s.text for s in split(migration.text)]
    return Entry(version, migration.name, State.APPLIED if same else State.EDITED, migration, row)
