"""`supabase-jobs plan`."""

from dataclasses import asdict

import click

from supabase_jobs.cli.common import as_json, connected, json_option, print_json, settings, shared_options


@click.command(epilog="Example: supabase-jobs plan --json")
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show what apply would do. Only reads: nothing is created, not even the ledger."""
    from supabase_jobs import ledger, migrate, project

    given = settings(ctx)
    migrations = project.migrations(given)
    with connected(given) as connection:
        entries = migrate.status(migrations, ledger.read(connection))
    todo, problems = migrate.pending(entries), migrate.problems(entries)
    if as_json(ctx):
        print_json(
            {
                "pending": [{"version": m.version, "name": m.name} for m in todo],
                "problems": [asdict(p) for p in problems],
            }
        )
        return
    for migration in todo:
        click.echo(f"pending  {migration.version}  {migration.name}")
    for problem in problems:
        click.echo(f"problem  {problem.version}  {problem.name}: {problem.message}")
    if not todo and not problems:
        click.echo("Nothing to apply.")
