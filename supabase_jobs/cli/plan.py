"""`supabase-jobs plan`."""

from dataclasses import asdict

import click

from supabase_jobs.cli.common import as_json, connected, json_option, narrate, print_json, settings, shared_options


@click.command(epilog="Example: supabase-jobs plan --json")
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show what apply would do. Read-only: creates nothing, not even the ledger."""
    from supabase_jobs.migrations import ledger
    from supabase_jobs.migrations.locks import policy_locks
    from supabase_jobs.migrations.plan import plan
    from supabase_jobs.sources import project

    given = settings(ctx)
    files = project.files(given)
    with connected(given) as connection:
        migration_plan = plan(files, ledger.read(connection))
        locks = policy_locks(connection, migration_plan.pending)
    if as_json(ctx):
        pending = [{"version": m.version, "name": m.name} for m in migration_plan.pending]
        print_json({"pending": pending, "problems": [asdict(p) for p in migration_plan.problems], "locks": locks})
        return
    for migration in migration_plan.pending:
        click.echo(f"pending  {migration.version}  {migration.name}")
    for problem in migration_plan.problems:
        line = f" (line {problem.line})" if problem.line else ""
        click.echo(f"problem  {problem.version}  {problem.name}{line}: {problem.kind}: {problem.message}")
    for file, tables in locks.items():
        narrate(f"note: {file} changes policies, so it locks {', '.join(tables)} until it commits")
    if not migration_plan.pending and not migration_plan.problems:
        click.echo("Nothing to apply.")
