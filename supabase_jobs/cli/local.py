"""`supabase-jobs local start|stop|status|reset`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from supabase_jobs.cli.common import as_json, json_option, narrate, print_json

if TYPE_CHECKING:
    from supabase_jobs.local.server import ServerInfo

F = TypeVar("F", bound=Callable[..., Any])

_NOT_RUNNING = 1


def _server_options(function: F) -> F:
    for option in (
        click.option(
            "--default-privileges/--no-default-privileges",
            default=None,
            help="Grant all new tables and functions to the API's roles, as many hosted projects do (on if unsaid).",
        ),
        click.option("--port", type=click.IntRange(1, 65535), help="A free one if unsaid."),
        click.option(
            "--postgres-bin",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder of another PostgreSQL's programs, instead of the embedded one.",
        ),
        click.option("--postgres", "major", type=click.Choice(["16", "18"]), help="Embedded version; 16 if unsaid."),
    ):
        function = option(function)
    return function


@click.group(epilog="Example: supabase-jobs local start")
def command() -> None:
    """Start, stop and look after the embedded server of this directory.

    It listens on 127.0.0.1 only and looks like a Supabase project before its first migration. Its data is
    meant to be thrown away: it does not wait for the disk.
    """


@command.command(epilog='Example: psql "$(supabase-jobs local start)"')
@_server_options
@json_option
@click.pass_context
def start(ctx: click.Context, /, **options: Any) -> None:
    """Start the server, or find it running; prints its URL on stdout."""
    from supabase_jobs.local import server

    _print(ctx, server.start(Path.cwd(), **_typed(options)))


@command.command(epilog="Example: supabase-jobs local stop")
@json_option
@click.pass_context
def stop(ctx: click.Context) -> None:
    """Stop the server and keep its data. Stopping a server that does not run is no error."""
    from supabase_jobs.local import server

    stopped = server.stop(Path.cwd())
    if as_json(ctx):
        print_json({"stopped": stopped})
    else:
        narrate("stopped" if stopped else "no local server was running in this directory")


@command.command(epilog="Example: supabase-jobs local status --json")
@json_option
@click.pass_context
def status(ctx: click.Context) -> None:
    """Say whether the server runs, and where; exits 1 where it does not."""
    from supabase_jobs.local import server

    info = server.status(Path.cwd())
    if info is not None:
        _print(ctx, info)
        return
    if as_json(ctx):
        print_json({"running": False})
    else:
        narrate("no local server is running in this directory; start it with: supabase-jobs local start")
    ctx.exit(_NOT_RUNNING)


@command.command(epilog="Example: supabase-jobs local reset")
@_server_options
@json_option
@click.pass_context
def reset(ctx: click.Context, /, **options: Any) -> None:
    """Throw the server's data away and start anew, with the same settings; prints its URL on stdout."""
    from supabase_jobs.local import server

    _print(ctx, server.reset(Path.cwd(), **_typed(options)))


def _typed(options: dict[str, Any]) -> dict[str, Any]:
    major = options.pop("major")
    return {**options, "major": None if major is None else int(major)}


def _print(ctx: click.Context, info: "ServerInfo") -> None:
    narrate(f"PostgreSQL {info.major} on {info.host}:{info.port}, process {info.pid}")
    if as_json(ctx):
        print_json({"running": True, "url": info.url, "port": info.port, "pid": info.pid, "postgres": info.major})
    else:
        click.echo(info.url)
