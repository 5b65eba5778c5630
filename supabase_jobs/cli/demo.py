"""`supabase-jobs demo`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.common import (
    as_json,
    json_option,
    narrate,
    progress,
    report,
    settings,
    shared_options,
)

if TYPE_CHECKING:
    from supabase_jobs.local.server import ServerInfo
    from supabase_jobs.settings import Settings


@click.command(epilog="Example: supabase-jobs demo --keep")
@click.option("--keep", is_flag=True, help="Leave the database running as this directory's local server.")
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, keep: bool) -> None:
    """Start a database like Supabase, apply the rendered migrations, verify, and print the access matrix.

    Exits 1 if verify finds an error. Leaves nothing running without --keep. The database is always a new local one:
    --db-url is ignored.
    """
    from supabase_jobs.database.connection import connect, describe
    from supabase_jobs.migrations.apply import ApplyObserver, apply_pending
    from supabase_jobs.sources import project
    from supabase_jobs.sources.files import MigrationFiles
    from supabase_jobs.verify.expectations import load_expectations
    from supabase_jobs.verify.run import verify

    command_settings = settings(ctx)
    files = MigrationFiles(project.rendered(command_settings))
    expectations = load_expectations(command_settings)
    started = time.monotonic()
    with _server(command_settings, keep) as server, connect(server.url) as connection:
        narrate(f"database: {describe(connection)}, started in {time.monotonic() - started:.1f} s")
        applied, before = apply_pending(connection, files, observer=ApplyObserver(narrate, progress))
        narrate(f"{len(applied)} migrations applied, {len(before)} applied before; verifying")
        result = verify(connection, expectations)
    click.echo(report(result, "json" if as_json(ctx) else "text"), nl=False)
    if keep:
        narrate(f"still running at {server.url}; stop it with: supabase-jobs local stop")
    ctx.exit(0 if result.ok else 1)


@contextmanager
def _server(command_settings: "Settings", keep: bool) -> Iterator["ServerInfo"]:
    from supabase_jobs.local.server import start, throwaway

    if keep:
        yield start(command_settings.directory)
    else:
        with throwaway() as server:
            yield server
