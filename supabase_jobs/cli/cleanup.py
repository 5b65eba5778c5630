"""`supabase-jobs cleanup`."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    from supabase_jobs.operations.cleanup import Tally
    from supabase_jobs.settings import Settings

_MOST = 2**31 - 1
# which variable of the sources says so where the option does not
_VARIABLES = {"days": "retention_days", "guest_days": "guest_inactive_days"}


@click.command(epilog="Example: supabase-jobs cleanup --days 30 --dry-run")
@click.option(
    "--days",
    type=click.IntRange(0, _MOST),
    help="Keep finished jobs that were updated in the last N days; else the variable retention_days (7). 0: keep none.",
)
@click.option(
    "--guest-days",
    type=click.IntRange(0, _MOST),
    help="Keep guests that were seen in the last N days; else the variable guest_inactive_days (30).",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, _MOST),
    help="Rows in one transaction; else as many as take about 50 ms.",
)
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@shared_options
@json_option
@click.pass_context
def command(
    ctx: click.Context, days: int | None, guest_days: int | None, batch_size: int | None, dry_run: bool
) -> None:
    """Delete expired jobs, then inactive guests, in short transactions; for databases without pg_cron.

    Finished jobs go oldest first; rows that somebody has locked are left for the next run. A guest with a queued or
    processing job, or a newer one, stays. Ctrl-C ends after the current batch (a second one at once), says how
    much was deleted, and exits 130 (SIGTERM: 143). Running it again goes on.
    """
    given = settings(ctx)
    limits = _limits(given, days, guest_days)
    from supabase_jobs.operations.cleanup import KINDS, Tally, count

    tally = Tally()
    started = time.monotonic()
    finished = True
    with connected(given) as connection:
        if dry_run:
            tally.deleted = {kind: count(connection, kind, limits) for kind in KINDS}
        else:
            with _stop_after_batch() as stop:
                try:
                    finished = _delete(connection, limits, batch_size, tally, stop)
                except KeyboardInterrupt:  # the second: its batch was rolled back
                    finished = False
    code = 0 if finished else 128 + stop[-1]
    if not finished:
        narrate("Interrupted; what was deleted by then stays deleted. Run it again to go on.")
    if as_json(ctx):
        numbers = {f"{kind}_deleted": number for kind, number in tally.deleted.items()}
        print_json({**numbers, "batches": tally.batches, "dry_run": dry_run, "interrupted": not finished})
    elif dry_run:
        click.echo(f"would delete {tally}")
    else:
        click.echo(f"deleted {tally} in {tally.batches:,} batches, {time.monotonic() - started:.1f} s")
    ctx.exit(code)


def _limits(given: "Settings", days: int | None, guest_days: int | None) -> dict[str, int]:
    from supabase_jobs.sources.files import load_sources
    from supabase_jobs.sources.variables import resolve

    values = resolve(load_sources(given.sql_dir).variables, given.variables)
    limits: dict[str, int] = {}
    for name, option in (("days", days), ("guest_days", guest_days)):
        value = values.get(_VARIABLES[name]) if option is None else option
        if type(value) is not int:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(
                f"the sources have no variable {_VARIABLES[name]} to say how many days are kept",
                hint=f"Say so with {flag}.",
            )
        limits[name] = value
    return limits


def _delete(
    connection: "Connection", limits: dict[str, int], batch_size: int | None, tally: "Tally", stop: list[int]
) -> bool:
    """Delete batch by batch until all is done or a signal has come; says whether all is done."""
    from supabase_jobs.operations.cleanup import KINDS, count, sweep

    for kind in KINDS:
        with counter(kind, lambda kind=kind: count(connection, kind, limits)) as advance:  # type: ignore[misc]
            batches = sweep(connection, kind, limits, tally, batch_size)
            while True:
                if stop:
                    return False
                deleted = next(batches, None)
                if deleted is None:
                    break
                advance(deleted)
    return True


@contextmanager
def _stop_after_batch() -> Iterator[list[int]]:
    """Within the block the first signal to stop is only noted, in the list; the second cancels what runs.

    One that is ignored (SIGHUP under nohup, SIGINT in a shell's background) stays ignored.
    """
    seen: list[int] = []

    def note(number: int, _frame: object) -> None:
        seen.append(number)
        if len(seen) > 1:
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, note)
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
