"""Shared by commands: options at either place, the target database, JSON, errors."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from supabase_jobs.cli.annotations import annotate_error
from supabase_jobs.cli.private import without_private
from supabase_jobs.cli.terminal import advance, narrate, output, progress
from supabase_jobs.database.masking import mask_connection_strings
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.settings import DB_URL_VARIABLE, Settings, load_settings

if TYPE_CHECKING:
    from supabase_jobs.database.connection import Connection

__all__ = [
    "JSON_HELP",
    "advance",
    "as_json",
    "check_folder",
    "connected",
    "database_url",
    "json_option",
    "narrate",
    "output",
    "print_json",
    "progress",
    "report_error",
    "settings",
    "shared_options",
    "wants_json",
    "write_file",
]

F = TypeVar("F", bound=Callable[..., Any])

JSON_HELP = "Print one JSON document on stdout and nothing else."


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Save the value of a shared option in the context; the last occurrence on the command line
    wins.
    """
    kept: dict[str, object] = ctx.ensure_object(dict)
    if value is not None and param.name is not None:
        kept[param.name] = value


def _shared(*flags: str, **attributes: Any) -> Callable[[F], F]:
    return click.option(*flags, expose_value=False, callback=_keep, **attributes)


_FOLDER = click.Path(file_okay=False, path_type=Path)
_SHARED = (
    _shared(
        "--db-url",
        metavar="URL",
        help=f"Target database (default: {DB_URL_VARIABLE}, else the local server of this"
        " directory).",
    ),
    _shared(
        "--migrations",
        metavar="DIR",
        type=_FOLDER,
        help="Migration files (default: supabase/migrations, else the packaged files).",
    ),
    _shared(
        "--sql-dir", metavar="DIR", type=_FOLDER, help="SQL sources (default: the packaged ones)."
    ),
)


def shared_options(function: F) -> F:
    """Add `--db-url`, `--migrations` and `--sql-dir`, before and after the command name."""
    for option in reversed(_SHARED):
        function = option(function)
    return function


def json_option(function: F) -> F:
    """Add `--json` and `--format json`; the command calls `as_json`."""
    kept: dict[str, Any] = {"expose_value": False, "callback": _keep}
    formats = click.Choice(["text", "json"])
    function = click.option(
        "--format", "format_", type=formats, help="json is the same as --json.", **kept
    )(function)
    return click.option("--json", "json_", is_flag=True, default=None, help=JSON_HELP, **kept)(
        function
    )


def as_json(ctx: click.Context) -> bool:
    """Whether the command was called with `--json` or `--format json`."""
    kept = ctx.ensure_object(dict)
    return bool(kept.get("json_")) or kept.get("format_") == "json"


def wants_json(words: Sequence[str]) -> bool:
    """Whether a command line requests JSON. Looks at its words only, because it may be impossible
    to parse.
    """
    pairs = pairwise(words)
    return "--json" in words or "--format=json" in words or ("--format", "json") in pairs


def settings(ctx: click.Context) -> Settings:
    """The settings of this command, from its options, supabase-jobs.toml and the environment."""
    kept = ctx.ensure_object(dict)
    return load_settings(
        Path.cwd(),
        os.environ,
        db_url=kept.get("db_url"),
        migrations=kept.get("migrations"),
        sql_dir=kept.get("sql_dir"),
    )


@contextmanager
def connected(command_settings: Settings, effect: str = "") -> Iterator["Connection"]:
    """Connect to the target database, and print on stderr which one it is.

    Unless it is on an embedded server, messages leave out texts that may hold values of rows.
    `effect` says in one line what the command does to it: what it reads, writes and locks.
    """
    from supabase_jobs.database.connection import NEWEST_TESTED_MAJOR, connect, describe
    from supabase_jobs.database.hidden_values import hidden_values
    from supabase_jobs.local.embedded import is_embedded

    url = database_url(command_settings)
    with hidden_values() as show_values, connect(url) as connection:
        database = describe(connection)
        narrate(f"database: {database}")
        if database.untested:
            narrate(
                "note: the server is newer than the newest tested version, PostgreSQL"
                f" {NEWEST_TESTED_MAJOR}"
            )
        if is_embedded(connection):
            show_values()
        if effect:
            narrate(effect)
        yield connection


def database_url(command_settings: Settings) -> str:
    """The URL of the target database: from the option, the environment, or the local server of this
    directory.
    """
    if command_settings.db_url:
        return command_settings.db_url
    from supabase_jobs.local.server import running_url

    if url := running_url(command_settings.directory):
        # PGSSLMODE and PGHOSTADDR concern other servers
        return f"{url}?sslmode=disable&hostaddr=127.0.0.1"
    empty = f": {DB_URL_VARIABLE} is empty" if DB_URL_VARIABLE in os.environ else ""
    raise ConfigError(
        f"no target database{empty}",
        hint=f"Pass --db-url URL, or set {DB_URL_VARIABLE}, or start a local server here:"
        " supabase-jobs local start.",
    )


def check_folder(folder: Path) -> None:
    """Raise ConfigError for a folder in which no file can be written or replaced, before a run that
    takes minutes.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(
            f"cannot write into {folder}: permission denied", hint="Choose another folder."
        )


def write_file(path: Path, text: str) -> None:
    """Write a file, or replace it; missing folders are created."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def print_json(document: object) -> None:
    """Print the JSON document of a command on stdout."""
    click.echo(json.dumps(without_private(document), indent=2, ensure_ascii=False))


def _placed(error: SupabaseJobsError, message: str) -> str:
    """The message after its file and line, unless it names them; JSON has keys for them."""
    if error.file is None:
        return message
    place, name = error.file, Path(error.file).name
    if error.line is None:
        if message.startswith((f"{name} ", f"{name}: ")):
            return message.replace(name, place, 1)
        return message if place in message else f"{place}: {message}"
    said = message.removeprefix(f"{name}:{error.line}: ").removeprefix(f"{name}: ")
    return f"{place}:{error.line}: {said}"


def report_error(error: SupabaseJobsError, as_json: bool) -> int:
    """Print an error, as JSON on stdout or as text on stderr; return its exit code.

    In a GitHub workflow, also print an annotation on stderr.
    """
    message = mask_connection_strings(error.message)
    hint = mask_connection_strings(error.hint) if error.hint else None
    if as_json:
        print_json(replace(error.report(), message=message, hint=hint).as_json())
    else:
        code = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
        narrate(
            click.style("error: ", fg="red", bold=sys.stderr.isatty())
            + f"{_placed(error, message)}{code}"
        )
        if hint:
            narrate(f"hint: {hint}", is_pasted=True)
    annotate_error(error, message, hint)
    return error.exit_code
