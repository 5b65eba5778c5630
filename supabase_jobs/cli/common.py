"""What commands share: options that go before or after the command's name, the target database, output."""

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
from supabase_jobs.cli.secrets import without_passwords
from supabase_jobs.cli.terminal import narrate, output, progress
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.settings import DB_URL_VARIABLE, Settings, load_settings

if TYPE_CHECKING:
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.findings import Verification

__all__ = [
    "JSON_HELP", "as_json", "connected", "database_url", "json_option", "narrate", "output", "print_json", "progress",
    "report", "report_error", "settings", "shared_options", "wants_json",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])

JSON_HELP = "Print one JSON document on stdout and nothing else."


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Keep an option's value for the command, wherever on the line it stood; the later one wins."""
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
        help=f"The database; else {DB_URL_VARIABLE}, else this directory's local server.",
    ),
    _shared(
        "--migrations",
        metavar="DIR",
        type=_FOLDER,
        help="Migration files; else supabase/migrations, else the packaged set.",
    ),
    _shared("--sql-dir", metavar="DIR", type=_FOLDER, help="SQL sources to use instead of the packaged ones."),
)


def shared_options(function: F) -> F:
    """`--db-url`, `--migrations` and `--sql-dir`, accepted before and after the command's name."""
    for option in reversed(_SHARED):
        function = option(function)
    return function


def json_option(function: F) -> F:
    """`--json`, or `--format json`; the command asks `as_json`."""
    kept: dict[str, Any] = {"expose_value": False, "callback": _keep}
    formats = click.Choice(["text", "json"])
    function = click.option("--format", "format_", type=formats, help="json is the same as --json.", **kept)(function)
    return click.option("--json", "json_", is_flag=True, default=None, help=JSON_HELP, **kept)(function)


def as_json(ctx: click.Context) -> bool:
    """Whether this command was asked for JSON."""
    kept = ctx.ensure_object(dict)
    return bool(kept.get("json_")) or kept.get("format_") == "json"


def wants_json(words: Sequence[str]) -> bool:
    """Whether a command line asks for JSON, told from its words alone: it may be too wrong to be parsed."""
    pairs = pairwise(words)
    return "--json" in words or "--format=json" in words or ("--format", "json") in pairs


def settings(ctx: click.Context) -> Settings:
    """The settings for this command: its options, supabase-jobs.toml and the environment."""
    kept = ctx.ensure_object(dict)
    return load_settings(
        Path.cwd(),
        os.environ,
        db_url=kept.get("db_url"),
        migrations=kept.get("migrations"),
        sql_dir=kept.get("sql_dir"),
    )


@contextmanager
def connected(given: Settings) -> Iterator["Connection"]:
    """A connection to the target database, which is named on stderr first."""
    from supabase_jobs.database.connection import NEWEST_TESTED_MAJOR, connect, describe

    with connect(database_url(given)) as connection:
        database = describe(connection)
        narrate(f"database: {database}")
        if database.untested:
            narrate(f"note: the server is newer than the newest tested version, PostgreSQL {NEWEST_TESTED_MAJOR}")
        yield connection


def database_url(given: Settings) -> str:
    """The target database's URL: the option, the environment, this directory's local server, in this order."""
    if given.db_url:
        return given.db_url
    from supabase_jobs.local.server import running_url

    if url := running_url(given.directory):
        # whatever PGSSLMODE and PGHOSTADDR say of other servers does not hold for this one
        return f"{url}?sslmode=disable&hostaddr=127.0.0.1"
    raise ConfigError(
        "no database to work on",
        hint=f"Give one with --db-url URL, or set {DB_URL_VARIABLE}, or start one here: supabase-jobs local start.",
    )


def report(result: "Verification", form: str, *, terminal: bool | None = None) -> str:
    """A verification in one of the report formats; text has colours where a terminal (by default, stdout) shows it."""
    from supabase_jobs.report import FORMATS

    if form == "text" and (sys.stdout.isatty() if terminal is None else terminal) and "NO_COLOR" not in os.environ:
        from supabase_jobs.report import text

        return text.verification(result, colour=True)
    return FORMATS[form](result)


def print_json(document: object) -> None:
    """The one JSON document of a command, on stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def report_error(error: SupabaseJobsError, as_json: bool) -> int:
    """Say what went wrong, as JSON on stdout or as text on stderr; returns the exit code.

    In a GitHub workflow it is also an annotation, on stderr.
    """
    message = without_passwords(error.message)
    hint = without_passwords(error.hint) if error.hint else None
    if as_json:
        print_json(replace(error.report(), message=message, hint=hint).as_json())
    else:
        where = f"{error.file}:{error.line}: " if error.file and error.line else f"{error.file}: " if error.file else ""
        code = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
        narrate(click.style("error: ", fg="red", bold=sys.stderr.isatty()) + f"{where}{message}{code}")
        if hint:
            narrate(f"hint: {hint}")
    annotate_error(error, message, hint)
    return error.exit_code
