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
    from supabase_jobs.migrations import ledger
    from supabase_jobs.migrations.plan import plan
    from supabase_jobs.sources import project

    given = settings(ctx)
    files = project.files(given)
    with connected(given) as connection:
        found = plan(files, ledger.read(connection))
    if as_json(ctx):
        pending = [{"version": m.version, "name": m.name} for m in found.pending]
        print_json({"pending": pending, "problems": [asdict(p) for p in found.problems]})
        return
    for migration in found.pending:
        click.echo(f"pending  {migration.version}  {migration.name}")
    for problem in found.problems:
        where = f" (line {problem.line})" if problem.line else ""
        click.echo(f"problem  {problem.version}  {problem.name}{where}: {problem.kind}: {problem.message}")
    if not found.pending and not found.problems:
        click.echo("Nothing to apply.")
