"""`supabase-jobs verify`."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.annotations import annotate_findings
from supabase_jobs.cli.common import (
    JSON_HELP,
    connected,
    database_url,
    print_json,
    progress,
    report,
    settings,
    shared_options,
)
from supabase_jobs.errors import ConfigError

if TYPE_CHECKING:
    from supabase_jobs.api.endpoint import Endpoint
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.findings import Verification
    from supabase_jobs.settings import Settings
    from supabase_jobs.verify.expectations import Expectations

# also the keys of report.FORMATS, which `--help` does not load
FORMATS = ("text", "json", "junit", "sarif", "markdown", "html")


@click.command(epilog="Example: supabase-jobs verify --only access --format html --output report.html")
@click.option("--only", metavar="AREA,…", help="Only these areas: structure, access, functions, plans.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default=None, help="Text if unsaid.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report into this file; one that is there is replaced.",
)
@click.option("--explain", "id_", metavar="ID", help="Check nothing; print how the case of this id is asked, as SQL.")
@click.option("--strict", is_flag=True, help="Exit 1 also where an area could not be checked.")
@click.option(
    "--api-url",
    metavar="[URL]",
    is_flag=False,
    flag_value="",
    help="Ask the access matrix through this API too (else SUPABASE_URL, else the local one), with the keys in"
    " SUPABASE_ANON_KEY, SUPABASE_SERVICE_ROLE_KEY, SUPABASE_JWT_SECRET.",
)
@click.option("--allow-remote", is_flag=True, help="Also an API, and its database, that are not on this machine.")
@shared_options
@click.pass_context
def command(
    ctx: click.Context,
    only: str | None,
    format_: str | None,
    as_json: bool,
    output: Path | None,
    id_: str | None,
    strict: bool,
    api_url: str | None,
    allow_remote: bool,
) -> None:
    """Check a live database against what the migrations expectations; exits 1 where it finds an error.

    Everything it does to data happens in a transaction that is rolled back. Only what is asked through an API is
    committed: it is marked, and removed again.
    """
    given = settings(ctx)
    form = "json" if as_json else format_ or "text"
    if as_json and format_ not in (None, "json"):
        raise ConfigError(f"--json and --format {format_} ask for two reports", hint="Leave one of them out.")
    _must_be_writable(output)
    if id_ is not None:
        _explain(given, id_, form, output)
        return
    if form == "html" and output is None and sys.stdout.isatty():
        raise ConfigError("an HTML page is of no use on a terminal", hint="Say where it goes: --output report.html.")

    from supabase_jobs.database.connection import describe
    from supabase_jobs.sources import project
    from supabase_jobs.verify.expectations import load_expectations
    from supabase_jobs.verify.run import parse, verify

    areas = parse(only)
    expectations = load_expectations(given)
    target = None if api_url is None else _target(given, areas, api_url, allow_remote)
    with connected(given) as connection:
        database = str(describe(connection))
        result = verify(connection, expectations, areas)
        if target is not None:
            result = _through_the_api(connection, expectations, target, result)
    result = replace(result, locations=project.object_locations(given), database=database)
    if output is None:
        click.echo(report(result, form), nl=False)
    else:
        _write(output, report(result, form, terminal=False))
    annotate_findings(result)
    ctx.exit(0 if result.ok and not (strict and result.unchecked) else 1)


def _target(given: "Settings", areas: Sequence[str], url: str, allow_remote: bool) -> "Endpoint":
    from supabase_jobs.cli.api_target import api_target
    from supabase_jobs.database import conninfo
    from supabase_jobs.database.hosts import is_local
    from supabase_jobs.verify import access

    if access.AREA not in areas:
        raise ConfigError(f"--api-url asks the access matrix, which --only {','.join(areas)} leaves out")
    target = api_target(url, given.directory, os.environ, allow_remote=allow_remote)
    address = conninfo.read(database_url(given)).address
    if not allow_remote and not (is_local(address.host) and is_local(address.hostaddr)):
        raise ConfigError(
            f"verify through the API commits rows before it removes them again, and {address} is not a local database",
            hint="If it is one on which that does no harm, say --allow-remote.",
        )
    return target


def _through_the_api(
    connection: "Connection", expectations: "Expectations", target: "Endpoint", result: "Verification"
) -> "Verification":
    from supabase_jobs.database.connection import second_connection
    from supabase_jobs.verify import access
    from supabase_jobs.verify.access import http

    if access.AREA in result.unchecked:  # there is nothing to compare with
        return result
    with progress(f"asking the API at {target.url}"), second_connection(connection) as guard:
        return http.run(connection, guard, expectations, target, result)


def _explain(given: "Settings", id_: str, form: str, output: Path | None) -> None:
    from supabase_jobs.verify.expectations import load_expectations
    from supabase_jobs.verify.explain import explain

    if form not in ("text", "json"):
        raise ConfigError(f"--explain prints SQL, and {form} is no format of it", hint="Use --json, or no format.")

    def connect() -> "AbstractContextManager[Connection]":
        return connected(given)

    found = explain(id_, load_expectations(given), connect)
    if output is not None:
        import json

        text = json.dumps(found.as_dict(), indent=2, ensure_ascii=False) + "\n" if form == "json" else found.sql
        _write(output, text)
    elif form == "json":
        print_json(found.as_dict())
    else:
        click.echo(found.sql, nl=False)


def _must_be_writable(output: Path | None) -> None:
    """Before the database is asked for a minute, not after."""
    if output is not None and not output.parent.is_dir():
        raise ConfigError(f"cannot write {output}: there is no folder {output.parent}", hint="Make the folder first.")


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror}") from error
