"""The migrations that a database has by its ledger, and what an embedded server cannot have."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from supabase_jobs.migrations.drift import text_of, whole_statements
from supabase_jobs.migrations.ledger import LedgerRow
from supabase_jobs.migrations.plan import MigrationStatus, State, plan
from supabase_jobs.projects.catalog import EXPOSED_BY_DEFAULT, Facts, Key
from supabase_jobs.sources.files import Migration, MigrationFiles

# the function with which `migrations.extensions` replaces an operator of btree_gist
_STAND_IN = "equality_range"
_PG_CRON = ("pg_cron", "extension", "")


def ledger_files(rows: Sequence[LedgerRow], files: MigrationFiles) -> MigrationFiles:
    """The migrations of a ledger as it contains them; files for rows that lack their statements."""
    by_version = {migration.version: migration for migration in files.migrations}
    found = [_of_row(row) or by_version.get(row.version) for row in rows]
    return MigrationFiles([migration for migration in found if migration is not None])


def applied_files(
    files: MigrationFiles, rows: Sequence[LedgerRow], note: Callable[[str], None]
) -> MigrationFiles:
    """The migrations that the ledger names: the files, and the statements of rows without a file.

    If the ledger is empty, all files: the database was made without it. `note` tells what is left
    out.
    """
    if not rows:
        return files
    statuses = plan(files, rows).statuses
    pending = [s.version for s in statuses if s.state is State.PENDING]
    if pending:
        note(f"note: left out, because they are not applied: {', '.join(pending)}")
    applied = []
    for status in statuses:
        migration = _applied(status)
        if migration is not None:
            applied.append(migration)
        elif status.state is not State.PENDING:
            note(f"note: left out: {status.version}, of which neither file nor statements exist")
    return MigrationFiles(sorted(applied, key=lambda migration: migration.version))


def unapplied(files: MigrationFiles, rows: Sequence[LedgerRow]) -> tuple[Migration, ...]:
    """The files that a database lacks by its ledger, or has with another text; none if the ledger
    is empty, as in `applied_files`.
    """
    if not rows:
        return ()
    return tuple(
        status.migration
        for status in plan(files, rows).statuses
        if status.migration is not None and status.state in (State.PENDING, State.EDITED)
    )


def _applied(status: MigrationStatus) -> Migration | None:
    """The migration of a version as it was applied; None if it was not, or is not known."""
    migration, row = status.migration, status.row
    if status.state is State.PENDING or row is None:
        return None
    if migration is not None:
        return replace(migration, version=row.version)
    return _of_row(row)


def _of_row(row: LedgerRow) -> Migration | None:
    if row.statements is None:
        return None
    text = text_of(whole_statements(row.statements))
    return Migration(row.version, row.name or "migration", text, f"ledger row {row.version}")


def default_privileges(facts: Facts) -> bool | None:
    """False for a project whose switch "expose new tables" is off, which is no drift; else None."""
    return None if any(key in facts for key in EXPOSED_BY_DEFAULT) else False


def not_comparable(
    facts: Facts, expected: Facts, missing: Iterable[str], files: MigrationFiles
) -> set[Key]:
    """The keys of what the embedded server cannot have: missing extensions, and what needs them.

    An exclusion constraint without btree_gist compares ranges there. Migrations that schedule a job
    only if pg_cron is installed may have found it on one side only.
    """
    extensions = {(name, "extension", "") for name in missing} - expected.keys()
    excluded = {key for key, fact in expected.items() if _STAND_IN in fact.value}
    text = "\n".join(migration.text for migration in files.migrations)
    jobs = [key for key in facts.keys() - expected.keys() if key[1] == "cron job"]
    named = {key for key in jobs if f"'{key[0]}'" in text}
    has_jobs = _PG_CRON in facts or any(key[1] == "cron job" for key in facts)
    without = set() if has_jobs else {key for key in expected if key[1] == "cron job"}
    return extensions | excluded | named | without
