"""`supabase-jobs adopt`."""

import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.common import (
    as_json,
    connected,
    json_option,
    narrate,
    print_json,
    settings,
    shared_options,
)
from supabase_jobs.cli.project_database import narration
from supabase_jobs.errors import ConfigError
from supabase_jobs.exit_codes import ExitCode
from supabase_jobs.settings import DEFAULT_MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supabase_jobs.database.connection import Connection
    from supabase_jobs.migrations.adopt import Change
    from supabase_jobs.migrations.ledger import LedgerRow
    from supabase_jobs.migrations.plan import MigrationPlan
    from supabase_jobs.projects.effects import Effects
    from supabase_jobs.settings import Settings
    from supabase_jobs.sources.files import MigrationFiles


@click.command(epilog="Example: supabase-jobs adopt --dry-run")
@click.option("--yes", is_flag=True, help="Make all changes without asking.")
@click.option("--dry-run", is_flag=True, help="Print the changes and make none.")
@click.option(
    "--rows",
    is_flag=True,
    help="Give the ledger rows the versions of the files, rather than the files those of the rows.",
)
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, yes: bool, dry_run: bool, rows: bool) -> None:
    """Make files and ledger agree where they hold the same migrations. Runs no DDL.

    A file whose migration was applied under another version is renamed. A row without a file gets
    one, from its statements. A pending or edited file counts as applied only if its effect is
    proven: the database has everything that the file changes in an embedded server. Each change is
    asked for on a terminal. Exit 4 if a difference is left.
    """
    from supabase_jobs.migrations import adopt, ledger
    from supabase_jobs.migrations.locks import LockOptions
    from supabase_jobs.migrations.plan import plan
    from supabase_jobs.sources import project

    given = settings(ctx)
    folder = _folder(given)
    if not (yes or dry_run or sys.stdin.isatty()):
        raise ConfigError(
            "adopt asks before each change, and stdin is not a terminal",
            hint="Look at adopt --dry-run, then pass --yes.",
        )
    files = project.files(given)
    with connected(given) as connection:
        found = ledger.read(connection)
        migration_plan = plan(files, found.rows)
        effects = _effects(given, connection, files, migration_plan, found.rows)
        changes = adopt.plan_changes(migration_plan, effects.proven, effects.reasons, rows=rows)
        if not (yes or dry_run):
            changes = [_confirmed(change) for change in changes]
        undo = None
        if not dry_run and any(change.action != adopt.Action.KEEP for change in changes):
            undo = _undo_file(folder)
            options = LockOptions(narrate=narrate)
            adopt.make_changes(connection, folder, found, changes, undo, options)
    _print(ctx, changes, undo, dry_run=dry_run)
    if not adopt.agree_after(changes):
        ctx.exit(ExitCode.DRIFT)


def _folder(given: "Settings") -> Path:
    folder = given.migrations or given.directory / DEFAULT_MIGRATIONS
    if not folder.is_dir():
        raise ConfigError(
            f"no folder {folder}, and adopt renames and writes migration files",
            hint="Run it in the project's folder, or pass --migrations DIR.",
        )
    return folder


def _effects(
    given: "Settings",
    connection: "Connection",
    files: "MigrationFiles",
    migration_plan: "MigrationPlan",
    rows: "Sequence[LedgerRow]",
) -> "Effects":
    """Which files that the ledger does not contain have their effect in the database."""
    from supabase_jobs.projects.applied import default_privileges, ledger_files
    from supabase_jobs.projects.built import built
    from supabase_jobs.projects.catalog import read_facts
    from supabase_jobs.projects.effects import Effects, candidates, prove

    unresolved = candidates(migration_plan)
    if not unresolved:
        return Effects(frozenset(), {})
    facts = read_facts(connection)
    build = partial(
        built,
        given.directory,
        major=connection.info.server_version // 10_000,
        default_privileges=default_privileges(facts),
        narration=narration(),
    )
    return prove(build, ledger_files(rows, files), unresolved, facts)


def _confirmed(change: "Change") -> "Change":
    """The change, or none if the user refuses it."""
    from supabase_jobs.migrations.adopt import Action, Keep

    narrate(f"{change.action}  {change}")
    if change.action is Action.KEEP or click.confirm("Make this change?", default=True, err=True):
        return change
    return Keep(change.version, "", "the change was refused")


def _undo_file(folder: Path) -> Path:
    """A new file beside the folder of migrations, which the Supabase CLI does not read."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path, number = folder.parent / f"adopt-undo-{stamp}.sql", 1
    while path.exists():
        number += 1
        path = folder.parent / f"adopt-undo-{stamp}-{number}.sql"
    return path


def _print(
    ctx: click.Context, changes: "list[Change]", undo: Path | None, *, dry_run: bool
) -> None:
    if as_json(ctx):
        print_json(
            {
                "changes": [
                    {
                        "version": change.version,
                        "action": change.action,
                        "as": change.as_version,
                        "reason": change.reason,
                    }
                    for change in changes
                ],
                "undo": None if undo is None else str(undo),
                "dry_run": dry_run,
            }
        )
        return
    for change in changes:
        click.echo(f"{change.action:<11}  {change}")
    if not changes:
        click.echo("Files and ledger agree.")
    if undo is not None:
        narrate(f"note: {undo} restores the ledger")
