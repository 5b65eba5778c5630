"""`supabase-jobs plan`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.common import (
    as_json,
    connected,
    json_option,
    narrate,
    print_json,
    progress,
    settings,
    shared_options,
)
from supabase_jobs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supabase_jobs.migrations.plan import MigrationPlan
    from supabase_jobs.migrations.table_locks import TableLock


@click.command(epilog="Example: supabase-jobs plan --json")
@click.option(
    "--locks",
    "with_dry_run",
    is_flag=True,
    help="Also find the locks of code that the files run: run the files in a dry run, which takes these locks briefly.",
)
@click.option("--files-only", is_flag=True, help="Connect to no database: exit 2 if apply would refuse a file.")
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, with_dry_run: bool, files_only: bool) -> None:
    """Show what apply would do, and the locks of the pending files on tables that the files do not create.

    Read-only: creates nothing, not even the ledger. With --locks, the files run in a transaction that is rolled back.
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
            raise ConfigError("--locks needs a database, and --files-only uses none", hint="Pass only one of them.")
        migration_plan = plan(files, ())
        raise_problems(migration_plan)
        _print(ctx, migration_plan, {})
        return
    with connected(given) as connection:
        migration_plan = plan(files, ledger.read(connection).rows)
        locks = expected_locks(connection, files.migrations, migration_plan.pending)
        if with_dry_run and migration_plan.pending and not migration_plan.problems:
            with progress("running the pending files in a dry run"):
                run, _ = dry_run(connection, files)
            locks = merged(locks, {file.file_name: file.locks for file in run.files})
    _print(ctx, migration_plan, locks)


def _print(ctx: click.Context, migration_plan: "MigrationPlan", locks: "Mapping[str, tuple[TableLock, ...]]") -> None:
    if as_json(ctx):
        pending = [{"version": m.version, "name": m.name} for m in migration_plan.pending]
        by_file = {file: [asdict(lock) for lock in found] for file, found in locks.items()}
        print_json({"pending": pending, "problems": [asdict(p) for p in migration_plan.problems], "locks": by_file})
        return
    for migration in migration_plan.pending:
        click.echo(f"pending  {migration.version}  {migration.name}")
    for problem in migration_plan.problems:
        line = f" (line {problem.line})" if problem.line else ""
        click.echo(f"problem  {problem.version}  {problem.name}{line}: {problem.kind}: {problem.message}")
    for file, found in locks.items():
        narrate(f"note: {file} locks until it commits: {'; '.join(map(str, found))}")
    if not migration_plan.pending and not migration_plan.problems:
        click.echo("Nothing to apply.")
