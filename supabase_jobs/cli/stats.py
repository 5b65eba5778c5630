"""`supabase-jobs stats`."""

import os
import sys

import click

from supabase_jobs.cli.common import as_json, connected, json_option, print_json, settings, shared_options


@click.command(epilog="Example: supabase-jobs stats --stuck-after 30")
@click.option(
    "--stuck-after",
    type=click.IntRange(1, 2**31 - 1),
    default=15,
    show_default=True,
    metavar="MINUTES",
    help="When a job is thought to be stuck: processing without an update, or queued, for so long.",
)
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, stuck_after: int) -> None:
    """Show jobs by state and age, those that are slow or stuck, sizes, the use of indexes, dead rows.

    It only reads, also on a replica, and gives up on what takes longer than 10 s. It shows ids of jobs, and neither
    their URLs nor whose they are. On a terminal there are bars.
    """
    from supabase_jobs.operations.stats import collect
    from supabase_jobs.report.stats import text

    with connected(settings(ctx)) as connection:
        found = collect(connection, {"minutes": stuck_after})
    if as_json(ctx):
        print_json({**found.sections, "stuck_after_minutes": stuck_after, "unanswered": found.unanswered})
    else:
        chart = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        click.echo(text(found.sections, found.unanswered, stuck_after, chart=chart), nl=False)
