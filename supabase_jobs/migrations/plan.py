"""The migration plan: the state of every version, the pending files, and what blocks them. Knows no database."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from supabase_jobs.errors import ConfigError, DriftError
from supabase_jobs.migrations import ledger, preflight
from supabase_jobs.migrations.drift import Difference, compare, diff
from supabase_jobs.sources.files import Files, Migration


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
class MigrationPlan:
    """What `apply` would do: every version, the files to apply, the versions applied, and what is in the way."""

    entries: tuple[Entry, ...]
    pending: tuple[Migration, ...]
    applied: tuple[str, ...]
    problems: tuple[Problem, ...]


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
    return [entry_of(v, files.get(v), applied.get(v)) for v in sorted(files.keys() | applied.keys())]


def plan(
    files: Files, rows: Sequence[ledger.Row], *, to: str | None = None, include_all: bool = False
) -> MigrationPlan:
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
    return MigrationPlan(tuple(entries), tuple(pending), applied, tuple(problems))


def stop_at_problems(found: MigrationPlan) -> None:
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


def entry_of(version: str, migration: Migration | None, row: ledger.Row | None) -> Entry:
    """The entry of one version; at least one of `migration` and `row` is given."""
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
