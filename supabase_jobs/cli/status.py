"""`supabase-jobs status`."""

import click

from supabase_jobs.cli.common import as_json, connected, json_option, print_json, settings, shared_options

PENDING_EXIT_CODE = 3
DRIFT_EXIT_CODE = 4


@click.command(epilog="Example: supabase-jobs status --exit-code")
@click.option(
    "--exit-code",
    is_flag=True,
    help="Exit 3 where migrations are pending, 4 where files and database disagree.",
)
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, exit_code: bool) -> None:
    """Show every migration: applied, pending, edited (the file differs from what was applied), remote-only."""
    from supabase_jobs import ledger, migrate, project

    given = settings(ctx)
    migrations = project.migrations(given)
    with connected(given) as connection:
        entries = migrate.status(migrations, ledger.read(connection))
    if as_json(ctx):
        print_json({"migrations": [{"version": e.version, "name": e.name, "state": e.state} for e in entries]})
    else:
        for entry in entries:
            click.echo(f"{entry.state:<11}  {entry.version}  {entry.name}")
        if not entries:
            click.echo("No migrations, neither in the files nor in the database.")
    if exit_code:
        if migrate.problems(entries):
            ctx.exit(DRIFT_EXIT_CODE)
        if migrate.pending(entries):
            ctx.exit(PENDING_EXIT_CODE)
