"""`supabase-jobs local start|stop|status|reset`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from supabase_jobs.cli.common import as_json, json_option, narrate, print_json

if TYPE_CHECKING:
    from supabase_jobs.local.api import ApiInfo
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
@click.option("--api", is_flag=True, help="Also a REST API like the hosted one; prints its URL and keys.")
@click.option("--api-port", type=click.IntRange(1, 65535), help="For --api; the last one, else a free one, if unsaid.")
@click.option(
    "--postgrest-bin",
    type=click.Path(path_type=Path),
    help="For --api: the PostgREST program; else the one on PATH or in node_modules.",
)
@_server_options
@json_option
@click.pass_context
def start(ctx: click.Context, /, api: bool, api_port: int | None, postgrest_bin: Path | None, **options: Any) -> None:
    """Start the server, or find it running; prints its URL on stdout.

    With --api PostgREST is started as well. stdout then has the URLs and the keys, in the form of
    `supabase status -o env`: one NAME="value" a line.
    """
    from supabase_jobs.local import server

    if not api:
        if api_port or postgrest_bin:
            raise click.UsageError("--api-port and --postgrest-bin are for --api.")
        _print(ctx, server.start(Path.cwd(), **_typed(options)))
        return
    from supabase_jobs.local import api as rest

    rest.check(Path.cwd(), postgrest_bin)
    info = server.start(Path.cwd(), **_typed(options))
    _print(ctx, info, rest.start(Path.cwd(), info, port=api_port, postgrest_bin=postgrest_bin), keys=True)


@command.command(epilog="Example: supabase-jobs local stop")
@json_option
@click.pass_context
def stop(ctx: click.Context) -> None:
    """Stop the server and its API, and keep the data. Stopping a server that does not run is no error."""
    from supabase_jobs.local import server

    stopped = server.stop(Path.cwd())
    if as_json(ctx):
        print_json({"stopped": stopped})
    else:
        narrate("stopped" if stopped else "no local server was running in this directory")


@command.command(epilog="Example: supabase-jobs local status --json")
@click.option("--api", is_flag=True, help="Print the API's URL and keys, as `local start --api` does.")
@json_option
@click.pass_context
def status(ctx: click.Context, api: bool) -> None:
    """Say whether the server runs, and where; exits 1 where it does not.

    With --api it exits 1 also where the API does not run.
    """
    from supabase_jobs.local import api as rest
    from supabase_jobs.local import server

    info = server.status(Path.cwd())
    running = None if info is None else rest.status(Path.cwd())
    if info is not None and (running is not None or not api):
        _print(ctx, info, running, keys=api)
        return
    if as_json(ctx):
        print_json({"running": False})
    else:
        what, how = ("server", "") if info is None else ("API", " --api")
        narrate(f"no local {what} is running in this directory; start it with: supabase-jobs local start{how}")
    ctx.exit(_NOT_RUNNING)


@command.command(epilog="Example: supabase-jobs local reset")
@_server_options
@json_option
@click.pass_context
def reset(ctx: click.Context, /, **options: Any) -> None:
    """Throw the server's data away and start anew, with the same settings; prints its URL on stdout.

    An API that was running runs again afterwards, with the same keys.
    """
    from supabase_jobs.local import api, server

    had_api = api.status(Path.cwd()) is not None
    if had_api:
        api.check(Path.cwd())
    info = server.reset(Path.cwd(), **_typed(options))
    _print(ctx, info, api.start(Path.cwd(), info) if had_api else None)


def _typed(options: dict[str, Any]) -> dict[str, Any]:
    major = options.pop("major")
    return {**options, "major": None if major is None else int(major)}


def _print(ctx: click.Context, info: "ServerInfo", api: "ApiInfo | None" = None, *, keys: bool = False) -> None:
    narrate(f"PostgreSQL {info.major} on {info.host}:{info.port}, process {info.pid}")
    if api is not None:
        narrate(f"REST API on {api.rest_url}, process {api.processes.gateway}")
    environment = {} if api is None else api.environment(info.url)
    if as_json(ctx):
        document = {"running": True, "url": info.url, "port": info.port, "pid": info.pid, "postgres": info.major}
        print_json({**document, "api": environment} if environment else document)
    elif keys:
        for name, value in environment.items():
            click.echo(f'{name}="{value}"')
    else:
        click.echo(info.url)
