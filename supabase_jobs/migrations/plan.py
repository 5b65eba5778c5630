"""The migration plan: the state of every version, the pending files, and the problems. Knows no
database.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from supabase_jobs.errors import ConfigError, DriftError
from supabase_jobs.migrations import preflight
from supabase_jobs.migrations.drift import Difference, compare, diff
from supabase_jobs.migrations.ledger import LedgerRow
from supabase_jobs.migrations.pairs import find_pairs
from supabase_jobs.sources.files import Migration, MigrationFiles


class State(StrEnum):
    """In both files and ledger; in the files only; in both, but with different meaning; in the
    ledger only; in both, but under another version.
    """

    APPLIED = "applied"
    PENDING = "pending"
    EDITED = "edited"
    REMOTE_ONLY = "remote-only"
    RENAMED = "renamed"


@dataclass(frozen=True)
class MigrationStatus:
    """One version with its file and its ledger row; one of the two may be None.

    The row of a renamed file has another version. `near` is the remote-only row that a pending file
    resembles. `note` describes a difference that does not count as an edit.
    """

    version: str
    name: str
    state: State
    migration: Migration | None
    row: LedgerRow | None
    note: str | None = None
    near: LedgerRow | None = None

    @property
    def applied_as(self) -> str | None:
        """The version under which a renamed file was applied."""
        return self.row.version if self.state is State.RENAMED and self.row else None

    @property
    def diff(self) -> str | None:
        """From the applied statements to those of the file; None unless the file was edited, or
        resembles a row.
        """
        row = self.row if self.state is State.EDITED else self.near
        if self.migration is None or row is None:
            return None
        return diff(self.migration, row.statements or ())


@dataclass(frozen=True)
class PlanProblem:
    """A reason why `apply` stops. `kind` is edited, remote-only, renamed, out-of-order (exit 4), or
    refused (exit 2).
    """

    version: str
    name: str
    kind: str
    message: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class MigrationPlan:
    """The work of `apply`: the status of every version, the files to apply, the applied versions,
    the problems.
    """

    statuses: tuple[MigrationStatus, ...]
    pending: tuple[Migration, ...]
    applied: tuple[str, ...]
    problems: tuple[PlanProblem, ...]


_DRIFT = {
    State.EDITED: "the file differs from what was applied; restore it, and make the change in a"
    " new migration",
    State.REMOTE_ONLY: "the database has this version, but the files do not; get the file (git"
    " pull, or supabase-jobs adopt) before you apply more",
    State.RENAMED: "the database has the same migration under another version; supabase-jobs adopt"
    " makes files and ledger agree",
}
_OUT_OF_ORDER = (
    "it is older than {}, which is applied; give it a newer version, or pass"
    " --include-all to apply it"
)
_NOTES = {
    Difference.LAYOUT: "differs from what was applied in layout or comments only",
    Difference.UNKNOWN: "cannot be compared: the ledger does not contain its statements",
}


def plan(
    files: MigrationFiles,
    rows: Sequence[LedgerRow],
    *,
    to: str | None = None,
    include_all: bool = False,
) -> MigrationPlan:
    """Plan what to apply, up to and including version `to`. Raises ConfigError (2) if no file has
    version `to`.
    """
    statuses = _statuses(files.migrations, rows)
    if to is not None and not any(s.version == to and s.migration for s in statuses):
        raise ConfigError(
            f"--to {to}: no migration file has this version", hint="`status` lists the versions."
        )
    newest = max((row.version for row in rows), default="")
    pending = []
    problems = []
    for status in statuses:
        file = None if status.migration is None else status.migration.label
        if status.state in _DRIFT:
            problems.append(
                PlanProblem(
                    version=status.version,
                    name=status.name,
                    kind=status.state,
                    message=_DRIFT[status.state],
                    file=file,
                )
            )
        elif (
            status.state is State.PENDING
            and status.migration
            and (to is None or status.version <= to)
        ):
            pending.append(status.migration)
            if status.version < newest and not include_all:
                message = _OUT_OF_ORDER.format(newest)
                problems.append(
                    PlanProblem(
                        version=status.version,
                        name=status.name,
                        kind="out-of-order",
                        message=message,
                        file=file,
                    )
                )
    for refusal in preflight.check(pending, files.unrecognized):
        problems.append(
            PlanProblem(
                version=refusal.version,
                name=refusal.name,
                kind="refused",
                message=refusal.message,
                file=refusal.file,
                line=refusal.line,
            )
        )
    applied = tuple(s.version for s in statuses if s.state is State.APPLIED)
    return MigrationPlan(tuple(statuses), tuple(pending), applied, tuple(problems))


def raise_problems(migration_plan: MigrationPlan) -> None:
    """Raise the problems of a plan: DriftError (4), else ConfigError (2) for files that are
    refused.
    """
    drift = [p for p in migration_plan.problems if p.kind != "refused"]
    if drift:
        raise DriftError(
            "the database and the migration files disagree, so nothing was applied:\n"
            + "\n".join(f"  {p.version} {p.name} ({p.kind}): {p.message}" for p in drift),
            hint="`supabase-jobs status` shows every version, and how an edited file differs.",
            file=drift[0].file,
        )
    if migration_plan.problems:
        first = migration_plan.problems[0]
        lines = [f"  {_location(p)}: {p.message}" for p in migration_plan.problems]
        raise ConfigError(
            "nothing was applied, because these files are refused:\n" + "\n".join(lines),
            hint="Fix the files, then check them with `supabase-jobs plan`.",
            file=first.file,
            line=first.line,
        )


def status_of(version: str, migration: Migration | None, row: LedgerRow | None) -> MigrationStatus:
    """The status of one version; at least one of `migration` and `row` is given."""
    if migration is None:
        assert row is not None  # noqa: S101  a version is in the files or in the ledger
        return MigrationStatus(
            version=version, name=row.name or "", state=State.REMOTE_ONLY, migration=None, row=row
        )
    if row is None:
        return MigrationStatus(
            version=version, name=migration.name, state=State.PENDING, migration=migration, row=None
        )
    difference = compare(migration, row.statements)
    state = State.EDITED if difference is Difference.MEANING else State.APPLIED
    return MigrationStatus(
        version=version,
        name=migration.name,
        state=state,
        migration=migration,
        row=row,
        note=_NOTES.get(difference),
    )


def _statuses(migrations: Sequence[Migration], rows: Sequence[LedgerRow]) -> list[MigrationStatus]:
    files = {m.version: m for m in migrations}
    applied = {r.version: r for r in rows}
    pairs = find_pairs(
        [m for m in migrations if m.version not in applied],
        [r for r in rows if r.version not in files],
    )
    taken = {row.version for row in pairs.renamed.values()}
    statuses = []
    for version in sorted((files.keys() | applied.keys()) - taken):
        migration = files.get(version)
        if migration is not None and version in pairs.renamed:
            statuses.append(_renamed(migration, pairs.renamed[version]))
            continue
        status = status_of(version, migration, applied.get(version))
        near = pairs.near.get(version)
        if near is not None:
            note = f"nearly the same as {near.version}, which only the database has"
            status = replace(status, near=near, note=note)
        statuses.append(status)
    return statuses


def _renamed(migration: Migration, row: LedgerRow) -> MigrationStatus:
    note = f"the same migration, applied as {row.version}"
    name = migration.name
    return MigrationStatus(
        version=migration.version,
        name=name,
        state=State.RENAMED,
        migration=migration,
        row=row,
        note=note,
    )


def _location(problem: PlanProblem) -> str:
    return f"{problem.file}:{problem.line}" if problem.line else str(problem.file)
