"""`supabase-jobs status`."""

import click

from supabase_jobs.cli.common import as_json, connected, json_option, print_json, settings, shared_options

PENDING_EXIT_CODE = 3
DRIFT_EXIT_CODE = 4


@click.command(epilog="Example: supabase-jobs status --exit-code")
@click.option(
    "--exit-code", is_flag=True, help="Exit 3 where migrations are pending, 4 where files and database disagree."
)
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, exit_code: bool) -> None:
    """Show every migration: applied, pending, edited (the file differs from what was applied), remote-only.

    Files are compared with what was applied by their meaning; layout and comments alone are only noted.
    """
    from supabase_jobs.migrations import ledger
    from supabase_jobs.migrations.plan import plan
    from supabase_jobs.sources import project

    given = settings(ctx)
    files = project.files(given)
    with connected(given) as connection:
        found = plan(files, ledger.read(connection))
    late = {p.version for p in found.problems if p.kind == "out-of-order"}
    if as_json(ctx):
        print_json(
            {
                "migrations": [
                    {
                        "version": e.version,
                        "name": e.name,
                        "state": e.state,
                        "out_of_order": e.version in late,
                        "note": e.note,
                        "diff": e.diff,
                    }
                    for e in found.statuses
                ]
            }
        )
    else:
        for entry in found.statuses:
            note = "older than an applied one" if entry.version in late else entry.note
            click.echo(f"{entry.state:<11}  {entry.version}  {entry.name}" + (f"  ({note})" if note else ""))
        for text in (e.diff for e in found.statuses if e.diff):
            click.echo(f"\n{text}", nl=False)
        if not found.statuses:
            click.echo("No migrations, neither in the files nor in the database.")
    if exit_code:
        if any(p.kind != "refused" for p in found.problems):
            ctx.exit(DRIFT_EXIT_CODE)
        if found.pending:
            ctx.exit(PENDING_EXIT_CODE)
