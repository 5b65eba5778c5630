"""`supabase-jobs cleanup`."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
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
from supabase_jobs.cli.terminal import counter
from supabase_jobs.errors import ConfigError

if TYPE_CHECKING:
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.operations.cleanup import Deleted
    from supabase_jobs.settings import Settings

_COUNT = "cleanup --dry-run counts rows of the managed tables; nothing is written"
_DELETE = "cleanup deletes expired jobs and guests, in transactions of about 50 ms"
_MAX_INTEGER = 2**31 - 1
# the variable of the SQL sources that holds the default of an option
_VARIABLES = {"days": "retention_days", "guest_days": "guest_inactive_days"}


@click.command(epilog="Example: supabase-jobs cleanup --days 30 --dry-run")
@click.option(
    "--days",
    type=click.IntRange(0, _MAX_INTEGER),
    help=f"Keep finished jobs that were updated in the last N days; 0 keeps none."
    f" Default: the variable {_VARIABLES['days']}.",
)
@click.option(
    "--guest-days",
    type=click.IntRange(0, _MAX_INTEGER),
    help="Keep guests that were seen in the last N days. Default: the variable"
    f" {_VARIABLES['guest_days']}.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, _MAX_INTEGER),
    help="Rows in one transaction. Default: as many as take about 50 ms.",
)
@click.option("--dry-run", is_flag=True, help="Only count the rows that would be deleted.")
@shared_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    days: int | None,
    guest_days: int | None,
    batch_size: int | None,
    dry_run: bool,
) -> None:
    """Delete expired jobs, then inactive guests, in short transactions; for databases without
    pg_cron.

    Deletes the oldest rows first and skips locked rows. A guest is kept while it has a queued or
    processing job, or a job updated more recently than --guest-days. Ctrl-C stops after the current
    batch (a second Ctrl-C cancels the batch), prints how many rows were deleted, and exits 130
    (SIGTERM: 143). Run the command again to continue.
    """
    configuration = settings(ctx)
    limits = _limits(configuration, days, guest_days)
    from supabase_jobs.operations.cleanup import KINDS, Deleted, count_expired

    deleted = Deleted()
    started = time.monotonic()
    finished = True
    with connected(configuration, _COUNT if dry_run else _DELETE) as connection:
        if dry_run:
            deleted.rows = {kind: count_expired(connection, kind, limits) for kind in KINDS}
        else:
            with _stop_after_batch() as signals:
                try:
                    finished = _delete(connection, limits, batch_size, deleted, signals)
                except KeyboardInterrupt:  # the second signal: its batch was rolled back
                    finished = False
    code = 0 if finished else 128 + signals[-1]
    if not finished:
        narrate(
            "Interrupted. The rows of committed batches stay deleted; run the command again to"
            " continue."
        )
    if as_json(ctx):
        numbers = {f"{kind}_deleted": number for kind, number in deleted.rows.items()}
        print_json(
            {**numbers, "batches": deleted.batches, "dry_run": dry_run, "interrupted": not finished}
        )
    elif dry_run:
        click.echo(f"would delete {deleted}")
    else:
        click.echo(
            f"deleted {deleted} in {deleted.batches:,} batches, {time.monotonic() - started:.1f} s"
        )
    ctx.exit(code)


def _limits(configuration: "Settings", days: int | None, guest_days: int | None) -> dict[str, int]:
    """The days of each option; the variable of the SQL sources where an option is missing."""
    from supabase_jobs.sources import project

    values = project.variables(configuration)
    limits: dict[str, int] = {}
    for name, option in (("days", days), ("guest_days", guest_days)):
        value = values.get(_VARIABLES[name]) if option is None else option
        if type(value) is not int:
            raise ConfigError(
                f"the SQL sources declare no whole number {_VARIABLES[name]}",
                hint=f"Pass --{name.replace('_', '-')} N.",
            )
        limits[name] = value
    return limits


def _delete(
    connection: "Connection",
    limits: dict[str, int],
    batch_size: int | None,
    deleted: "Deleted",
    signals: list[int],
) -> bool:
    """Delete batch by batch until no row is left or a signal was received; returns whether no row
    is left.
    """
    from supabase_jobs.operations.cleanup import KINDS, count_expired, delete_expired

    for kind in KINDS:
        with counter(kind, partial(count_expired, connection, kind, limits)) as advance:
            batches = delete_expired(connection, kind, limits, deleted, batch_size)
            while True:
                if signals:
                    return False
                rows = next(batches, None)
                if rows is None:
                    break
                advance(rows)
    return True


@contextmanager
def _stop_after_batch() -> Iterator[list[int]]:
    """Record the first SIGINT, SIGTERM or SIGHUP in the list; raise KeyboardInterrupt at the
    second.

    A signal that is ignored (SIGHUP under nohup, SIGINT in the background of a shell) stays
    ignored.
    """
    received: list[int] = []

    def record(number: int, _frame: object) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    before = {
        number: handler
        for number, handler in before.items()
        if handler not in (signal.SIG_IGN, None)
    }
    for number in before:
        signal.signal(number, record)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
