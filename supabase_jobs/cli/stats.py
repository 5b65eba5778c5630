"""`supabase-jobs stats`."""

import os
import sys

import click

from supabase_jobs.cli.common import (
    as_json,
    connected,
    json_option,
    print_json,
    settings,
    shared_options,
)

_EFFECT = "stats reads the catalogs and the managed tables; nothing is written"


@click.command(epilog="Example: supabase-jobs stats --stuck-after 30")
@click.option(
    "--stuck-after",
    type=click.IntRange(1, 2**31 - 1),
    default=15,
    show_default=True,
    metavar="MINUTES",
    help="A job is stuck when it was processing without an update, or queued, for longer"
    " than this.",
)
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, stuck_after: int) -> None:
    """Show jobs by status and age, slow and stuck jobs, sizes, index usage, and dead rows.

    Only reads, also on a replica; a query that takes longer than 10 s is cancelled. Prints ids of
    jobs, but no URLs and no owners. Draws bars on a terminal.
    """
    from supabase_jobs.operations.stats import collect
    from supabase_jobs.report.stats import text
    from supabase_jobs.sources.project import sources

    given = settings(ctx)
    excluded = sources(given).excluded
    with connected(given, _EFFECT) as connection:
        stats = collect(connection, {"minutes": stuck_after}, excluded)
    if as_json(ctx):
        print_json(
            {**stats.sections, "stuck_after_minutes": stuck_after, "unanswered": stats.unanswered}
        )
    else:
        chart = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        click.echo(text(stats.sections, stats.unanswered, stuck_after, chart=chart), nl=False)
