"""Plan, status, apply: migration files against the ledger."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum

from supabase_jobs import ledger, preflight
from supabase_jobs.database import Connection
from supabase_jobs.drift import Difference, compare, diff
from supabase_jobs.errors import BusyError, ConfigError, DriftError
from supabase_jobs.findings import Verification
from supabase_jobs.rehearsal import Rehearsal, rehearse
from supabase_jobs.runner import Patience, TakenError, apply_file, prepare_ledger
from supabase_jobs.sqlfiles import Files, Migration
from supabase_jobs.untransacted import apply_untransacted


class State(StrEnum):
    """What a version is: in the files, in the ledger, in both, in both with another meaning."""

    APPLIED = "applied"
    PENDING = "pending"
    EDITED = "edited"
    REMOTE_ONLY = "remote-only"


@dataclass(frozen=True)
class Entry:
    """One version, with its file and its ledger row as far as there are any.

    `note` says what is worth knowing of an applied file that differs in layout or comments only.
    """

    version: str
    name: str
    state: State
    migration: Migration | None
    row: ledger.Row | None
    note: str | None = None

    @property
    def diff(self) -> str | None:
        """From what was applied to what the file says now; None where they mean the same."""
        if self.state is not State.EDITED or self.migration is None or self.row is None:
            return None
        return diff(self.migration.text, self.row.statements or (), self.migration.file_name)


@dataclass(frozen=True)
class Problem:
    """Why `apply` would stop: `kind` is edited, remote-only, out-of-order (exit 4), or refused (exit 2)."""

    version: str
    name: str
    kind: str
    message: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Applied:
    """A migration that this run applied, and how long it took."""

    version: str
    name: str
    ms: float


@dataclass(frozen=True)
class Plan:
    """What `apply` would do: every version, the files to apply, the versions applied, and what is in the way."""

    entries: tuple[Entry, ...]
    pending: tuple[Migration, ...]
    applied: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Watcher:
    """What a caller wants to hear while files are applied."""

    narrate: Callable[[str], None] = lambda _line: None
    progress: Callable[[str], AbstractContextManager[None]] = lambda _line: nullcontext()
    applied: Callable[[Applied], None] = lambda _applied: None


_EXPLAINED = {
    State.EDITED: "the file says something else than what was applied; put it back as it was,"
    " and make the change in a new migration",
    State.REMOTE_ONLY: "the database has it and the files do not; get the file (git pull, or supabase migration fetch)"
    " before applying more",
}
_UNKNOWN = "cannot be compared: the ledger does not say what was applied"
_LATE = "it is older than {}, which is applied; give it a newer version, or apply it late with --include-all"


def status(migrations: Sequence[Migration], rows: Sequence[ledger.Row]) -> list[Entry]:
    """Every version of the files and the ledger, by version as text. Touches no database."""
    files = {m.version: m for m in migrations}
    applied = {r.version: r for r in rows}
    return [_entry(v, files.get(v), applied.get(v)) for v in sorted(files.keys() | applied.keys())]


def plan(files: Files, rows: Sequence[ledger.Row], *, to: str | None = None, include_all: bool = False) -> Plan:
    """What there is to apply, up to and including version `to`, and what is in the way. Touches no database.

    Raises ConfigError (2) where no file has version `to`.
    """
    entries = status(files.migrations, rows)
    if to is not None and not any(e.version == to and e.migration for e in entries):
        raise ConfigError(f"--to {to}: no migration file has this version", hint="`status` lists the versions.")
    newest = max((e.version for e in entries if e.row is not None), default="")
    pending = []
    problems = []
    for entry in entries:
        file = None if entry.migration is None else entry.migration.label
        if entry.state in _EXPLAINED:
            problems.append(Problem(entry.version, entry.name, entry.state, _EXPLAINED[entry.state], file))
        elif entry.state is State.PENDING and entry.migration and (to is None or entry.version <= to):
            pending.append(entry.migration)
            if entry.version < newest and not include_all:
                problems.append(Problem(entry.version, entry.name, "out-of-order", _LATE.format(newest), file))
    for refusal in preflight.check(pending, files.strays):
        problems.append(Problem(refusal.version, refusal.name, "refused", refusal.message, refusal.file, refusal.line))
    applied = tuple(e.version for e in entries if e.state is State.APPLIED)
    return Plan(tuple(entries), tuple(pending), applied, tuple(problems))


def stop_at_problems(found: Plan) -> None:
    """Raise what stands in the way: DriftError (4), else ConfigError (2) for files that are refused."""
    drift = [p for p in found.problems if p.kind != "refused"]
    if drift:
        raise DriftError(
            "the database and the migration files disagree, so nothing was applied:\n"
            + "\n".join(f"  {p.version} {p.name} ({p.kind}): {p.message}" for p in drift),
            hint="`supabase-jobs status` shows every version, and how an edited file differs.",
            file=drift[0].file,
        )
    if found.problems:
        first = found.problems[0]
        lines = [f"  {_place(p)}: {p.message}" for p in found.problems]
        raise ConfigError(
            "nothing was applied, because of what stands in the files:\n" + "\n".join(lines),
            hint="Nothing has run yet. Mend the files, and see `supabase-jobs plan`.",
            file=first.file,
            line=first.line,
        )


def apply(
    connection: Connection,
    files: Files,
    *,
    to: str | None = None,
    include_all: bool = False,
    patience: Patience | None = None,
    watcher: Watcher | None = None,
) -> tuple[list[Applied], list[str]]:
    """Apply what is pending, each file in a transaction of its own; returns it, and the versions applied before.

    Raises, before anything ran, ConfigError (2) for an unknown `to` or a file that is refused and DriftError
    (4) where files and ledger disagree; BusyError (5) where a lock or another runner did not give way in time;
    MigrationError (6) with file and line where a statement failed, which undoes that file and keeps those before it.
    """
    patience = patience or Patience()
    watcher = watcher or Watcher()
    found = plan(files, ledger.read(connection), to=to, include_all=include_all)
    stop_at_problems(found)
    applied: list[Applied] = []
    before = list(found.applied)
    if found.pending:
        prepare_ledger(connection, patience)
    for migration in found.pending:
        started = time.monotonic()
        try:
            with watcher.progress(f"applying {migration.file_name}"):
                if migration.transactional:
                    apply_file(connection, migration, patience)
                else:
                    apply_untransacted(connection, migration, patience, watcher.narrate)
            applied.append(Applied(migration.version, migration.name, (time.monotonic() - started) * 1000))
            watcher.applied(applied[-1])
        except TakenError:
            _check_taken(connection, migration)
            watcher.narrate(f"{migration.file_name}: another runner has applied it meanwhile")
            before.append(migration.version)
    return applied, before


def dry_run(
    connection: Connection,
    files: Files,
    *,
    to: str | None = None,
    include_all: bool = False,
    patience: Patience | None = None,
    check: Callable[[Connection], Verification] | None = None,
) -> tuple[Rehearsal, list[str]]:
    """Run what is pending in one transaction, with `check` at its end, and roll it back; raises what `apply` does."""
    found = plan(files, ledger.read(connection), to=to, include_all=include_all)
    stop_at_problems(found)
    try:
        return rehearse(connection, found.pending, patience or Patience(), check), list(found.applied)
    except TakenError:
        raise BusyError(
            "another runner has applied a file of this rehearsal meanwhile",
            hint="Wait until it is done, and rehearse again.",
        ) from None


def _check_taken(connection: Connection, migration: Migration) -> None:
    """Another runner's row is fine where it means the same; else two files share a version by accident."""
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
    if row.statements is None:
        return Entry(version, migration.name, State.APPLIED, migration, row, _UNKNOWN)
    difference = compare(migration.text, row.statements)
    state = State.EDITED if difference is Difference.MEANING else State.APPLIED
    note = "differs from what was applied in layout or comments only" if difference is Difference.LAYOUT else None
    return Entry(version, migration.name, state, migration, row, note)


def _place(problem: Problem) -> str:
    return f"{problem.file}:{problem.line}" if problem.line else str(problem.file)
