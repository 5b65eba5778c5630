"""`supabase-jobs status`."""

import click

from supabase_jobs.cli.common import (
    as_json,
    connected,
    json_option,
    print_json,
    settings,
    shared_options,
)
from supabase_jobs.exit_codes import ExitCode


@click.command(epilog="Example: supabase-jobs status --exit-code")
@click.option(
    "--exit-code",
    is_flag=True,
    help="Exit 3 if migrations are pending, 4 if files and database disagree.",
)
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, exit_code: bool) -> None:
    """Show every migration: applied, pending, edited (the file differs from what was applied),
    remote-only, renamed (applied under another version).

    The comparison ignores layout and comments; if only these differ, the output notes it.
    """
    from supabase_jobs.migrations import ledger
    from supabase_jobs.migrations.plan import plan
    from supabase_jobs.sources import project

    given = settings(ctx)
    files = project.files(given)
    with connected(given, "status reads the ledger; nothing is written") as connection:
        migration_plan = plan(files, ledger.read(connection).rows)
    out_of_order = {p.version for p in migration_plan.problems if p.kind == "out-of-order"}
    if as_json(ctx):
        print_json(
            {
                "migrations": [
                    {
                        "version": s.version,
                        "name": s.name,
                        "state": s.state,
                        "as": s.applied_as,
                        "out_of_order": s.version in out_of_order,
                        "note": s.note,
                        "diff": s.diff,
                    }
                    for s in migration_plan.statuses
                ]
            }
        )
    else:
        for status in migration_plan.statuses:
            note = "older than an applied one" if status.version in out_of_order else status.note
            click.echo(
                f"{status.state:<11}  {status.version}  {status.name}"
                + (f"  ({note})" if note else "")
            )
        for text in (s.diff for s in migration_plan.statuses if s.diff):
            click.echo(f"\n{text}", nl=False)
        if not migration_plan.statuses:
            click.echo("No migrations in the files or in the database.")
    if exit_code:
        if any(p.kind != "refused" for p in migration_plan.problems):
            ctx.exit(ExitCode.DRIFT)
        if migration_plan.pending:
            ctx.exit(ExitCode.PENDING)
