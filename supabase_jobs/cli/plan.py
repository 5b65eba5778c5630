"""`supabase-jobs plan`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.common import (
    advance,
    as_json,
    connected,
    json_option,
    narrate,
    print_json,
    progress,
    settings,
    shared_options,
)
from supabase_jobs.cli.project_database import audited_files
from supabase_jobs.cli.reports import show_report
from supabase_jobs.errors import ConfigError
from supabase_jobs.exit_codes import passed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supabase_jobs.database.connection import Connection
    from supabase_jobs.findings import AccessDiff
    from supabase_jobs.migrations.plan import MigrationPlan
    from supabase_jobs.migrations.table_locks import TableLock
    from supabase_jobs.settings import Settings


@click.command(epilog="Example: supabase-jobs plan --json")
@click.option(
    "--locks",
    "with_dry_run",
    is_flag=True,
    help="Also find the locks of code that the files run: run the files in a dry run, which takes"
    " these locks briefly.",
)
@click.option(
    "--access",
    "with_access",
    is_flag=True,
    help="Also compare who can do what before and after the pending files; exit 1 if access is"
    " wider. On an"
    " embedded server they run in a transaction that is rolled back; for any other database, in an"
    " embedded server of their own.",
)
@click.option(
    "--files-only",
    is_flag=True,
    help="Connect to no database: exit 2 if apply would refuse a file.",
)
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, with_dry_run: bool, with_access: bool, files_only: bool) -> None:
    """Show what apply would do, and the locks of the pending files on tables that the files do not
    create.

    Read-only: creates nothing, not even the ledger. With --locks, the files run in a transaction
    that is rolled back. With --access, rows are generated and callers impersonated as `audit` does,
    and all of it is rolled back: in the database if an embedded server has it, or in two databases
    of an embedded server with the files that are applied, and with all files. Any other database is
    only read, even if its port is forwarded to this machine.
    """
    from supabase_jobs.migrations import ledger
    from supabase_jobs.migrations.dry_run import dry_run
    from supabase_jobs.migrations.plan import plan, raise_problems
    from supabase_jobs.migrations.table_locks import expected_locks, merged
    from supabase_jobs.sources import project

    given = settings(ctx)
    files = project.files(given)
    if files_only:
        if with_dry_run:
            raise ConfigError(
                "--locks needs a database, and --files-only uses none",
                hint="Pass only one of them.",
            )
        if with_access:
            raise ConfigError(
                "--access needs a database, and --files-only uses none",
                hint="Pass only one of them.",
            )
        migration_plan = plan(files, ())
        raise_problems(migration_plan)
        _print(ctx, migration_plan, {})
        return
    access = None
    with connected(given, _effect(with_dry_run, with_access)) as connection:
        migration_plan = plan(files, ledger.read(connection).rows)
        locks = expected_locks(connection, files.migrations, migration_plan.pending)
        if with_dry_run and migration_plan.pending and not migration_plan.problems:
            with progress("running the pending files in a dry run"):
                run, _ = dry_run(connection, files)
            locks = merged(locks, {file.file_name: file.locks for file in run.files})
        if with_access:
            raise_problems(migration_plan)
            if migration_plan.pending:
                access = _access(given, connection, migration_plan)
    _print(ctx, migration_plan, locks, access)
    ctx.exit(passed(access is None or access.ok))


def _effect(with_dry_run: bool, with_access: bool) -> str:
    """The effect of the command on the database; `_access` states that of the comparison."""
    if with_dry_run:
        return (
            "plan --locks runs the pending files in one transaction, rolls it back, and gives way"
            " to sessions that wait"
        )
    return "" if with_access else "plan reads the ledger and the catalogs; nothing is written"


def _access(
    given: "Settings",
    connection: "Connection",
    migration_plan: "MigrationPlan",
) -> "AccessDiff":
    """The changes of access by the pending files, tried in copies of the database."""
    from supabase_jobs.audit.options import Options
    from supabase_jobs.cli.access import compare_pending_on_copy, named_by_project
    from supabase_jobs.projects.copied import ANNOUNCEMENT
    from supabase_jobs.projects.exposed_schemas import served_schemas
    from supabase_jobs.sources.files import MigrationFiles

    narrate(f"plan --access {ANNOUNCEMENT}")
    options = Options(
        served=served_schemas(given.directory, given.db_url, connection),
        files=audited_files(given),
        advance=advance,
    )
    pending = MigrationFiles([*migration_plan.pending])
    return named_by_project(compare_pending_on_copy(given, connection, pending, options))


def _print(
    ctx: click.Context,
    migration_plan: "MigrationPlan",
    locks: "Mapping[str, tuple[TableLock, ...]]",
    access: "AccessDiff | None" = None,
) -> None:
    if as_json(ctx):
        from supabase_jobs.report.producers.access import contract

        pending = [{"version": m.version, "name": m.name} for m in migration_plan.pending]
        by_file = {file: list(map(asdict, found)) for file, found in locks.items()}
        problems = [asdict(p) for p in migration_plan.problems]
        changes = None if access is None else contract(access)
        print_json({"pending": pending, "problems": problems, "locks": by_file, "access": changes})
        return
    for migration in migration_plan.pending:
        click.echo(f"pending  {migration.version}  {migration.name}")
    for problem in migration_plan.problems:
        line = f" (line {problem.line})" if problem.line else ""
        click.echo(
            f"problem  {problem.version}  {problem.name}{line}: {problem.kind}: {problem.message}"
        )
    for file, found in locks.items():
        narrate(f"note: {file} locks until it commits: {'; '.join(map(str, found))}")
    if not migration_plan.pending and not migration_plan.problems:
        click.echo("Nothing to apply.")
    if access is not None:
        from supabase_jobs.report.producers.access import document

        show_report(document(access), "text", None)
