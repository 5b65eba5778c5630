"""`supabase-jobs apply`."""

import re
from dataclasses import asdict
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

if TYPE_CHECKING:
    from supabase_jobs.migrate import Applied

_UNITS = {"ms": 1, "s": 1000, "min": 60_000}


class Duration(click.ParamType[int]):
    """`500ms`, `4s`, `1min`, as PostgreSQL writes durations; a bare number is milliseconds. Gives milliseconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds, at least 1: 0 would switch the timeout off."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,9})(ms|s|min)?", str(value))
        milliseconds = int(found[1]) * _UNITS[found[2] or "ms"] if found else 0
        if not 1 <= milliseconds < 2**31:
            self.fail(f"{value!r} is no duration such as 500ms, 4s or 1min", param, ctx)
        return milliseconds


@click.command(epilog="Example: supabase-jobs apply --lock-timeout 2s --retries 10")
@click.option("--to", metavar="VERSION", help="Apply up to and including this version.")
@click.option(
    "--lock-timeout",
    type=Duration(),
    default="4s",
    show_default=True,
    help="How long a statement may wait for a lock.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 100),
    default=5,
    show_default=True,
    help="How often a file is tried again after that.",
)
@click.option("--include-all", is_flag=True, help="Apply also pending files older than the newest applied one.")
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, to: str | None, lock_timeout: int, retries: int, include_all: bool) -> None:
    """Apply the pending migrations, each file in a transaction of its own, as `supabase db push` records them.

    Stops before anything runs where files and database disagree (exit 4). A statement that fails undoes its
    file and keeps the files before it (exit 6).
    """
    from supabase_jobs import migrate, project
    from supabase_jobs.runner import Patience

    given = settings(ctx)
    migrations = project.migrations(given)
    with connected(given) as connection:
        applied, before = migrate.apply(
            connection,
            migrations,
            to=to,
            include_all=include_all,
            patience=Patience(lock_timeout_ms=lock_timeout, retries=retries),
            narrate=narrate,
            on_applied=lambda done: None if as_json(ctx) else _print(done),
        )
    if as_json(ctx):
        print_json({"applied": [asdict(a) for a in applied], "already_applied": before, "dry_run": False})
        return
    if not applied:
        click.echo(f"Nothing to apply; {len(before)} migrations are applied already.")


def _print(done: "Applied") -> None:
    """A line as soon as a file is applied: a later one may fail, and this one is kept."""
    click.echo(f"applied  {done.version}  {done.name}  {done.ms:.0f} ms")
