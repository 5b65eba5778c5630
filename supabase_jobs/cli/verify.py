"""The command `supabase-jobs verify`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.annotations import annotate_findings
from supabase_jobs.cli.api_target import api_options, local_endpoint
from supabase_jobs.cli.common import (
    JSON_HELP,
    advance,
    check_report,
    connected,
    print_json,
    progress,
    settings,
    shared_options,
    show_report,
    write_file,
)
from supabase_jobs.cli.completion import listed
from supabase_jobs.errors import ConfigError
from supabase_jobs.exit_codes import passed
from supabase_jobs.report import FORMATS
from supabase_jobs.verify.areas import AREAS

if TYPE_CHECKING:
    from supabase_jobs.api.endpoint import Endpoint
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.findings import Verification
    from supabase_jobs.settings import Settings
    from supabase_jobs.verify.expectations import Expectations

_EFFECT = (
    "verify reads the catalogs, and inserts rows of its own that it rolls back within a second"
)


@click.command(
    epilog="Example: supabase-jobs verify --only access --format html --output report.html"
)
@click.option(
    "--only",
    metavar="AREA,…",
    help=f"Only these areas: {', '.join(AREAS)}.",
    shell_complete=listed(*AREAS),
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default=None,
    help="The format of the report (default: text).",
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to this file; an existing file is replaced.",
)
@click.option(
    "--all",
    "whole",
    is_flag=True,
    help="Print every finding and the access matrix, as --output does.",
)
@click.option(
    "--explain",
    "id_",
    metavar="ID",
    help="Print the SQL of the case with this id, and check nothing.",
)
@api_options("Check the access matrix also")
@shared_options
@click.pass_context
def command(
    ctx: click.Context,
    only: str | None,
    format_: str | None,
    as_json: bool,
    output: Path | None,
    whole: bool,
    id_: str | None,
    api_url: str | None,
    allow_remote: bool,
) -> None:
    """Check a live database against the migrations; exit 1 if it finds an error, or cannot check
    something.

    What may stay unchecked is named, with the reason, under [accepted_unchecked] in
    supabase-jobs.toml.

    Changes to rows happen in a transaction that is rolled back. Only requests to an API are
    committed; their rows are marked, and deleted at the end.
    """
    given = settings(ctx)
    form = "json" if as_json else format_ or "text"
    if as_json and format_ not in (None, "json"):
        raise ConfigError(
            f"--json conflicts with --format {format_}", hint="Pass only one of them."
        )
    check_report(form, output)
    if id_ is not None:
        _explain(given, id_, form, output)
        return

    from supabase_jobs.database.connection import describe
    from supabase_jobs.report.producers.verify import document
    from supabase_jobs.sources import project
    from supabase_jobs.verify.expectations import load_expectations
    from supabase_jobs.verify.verify import parse, verify

    areas = parse(only)
    expectations = load_expectations(given)
    endpoint = None if api_url is None else _endpoint(given, areas, api_url, allow_remote)
    with connected(given, _EFFECT) as connection:
        database = str(describe(connection))
        with progress("verifying", quiet=True):
            verification = verify(connection, expectations, areas, advance=advance)
        if endpoint is not None:
            verification = _verify_api(connection, expectations, endpoint, verification)
    # reports name the lines of objects with findings
    locations = project.object_locations(given) if verification.findings else {}
    verification = replace(verification, locations=locations, database=database)
    report = document(verification)
    show_report(report, form, output, whole=whole)
    annotate_findings(report)
    ctx.exit(passed(verification.ok))


def _endpoint(given: "Settings", areas: Sequence[str], url: str, allow_remote: bool) -> "Endpoint":
    from supabase_jobs.verify import access

    if access.AREA not in areas:
        raise ConfigError(
            f"--api-url needs the area access, which --only {','.join(areas)} leaves out",
            hint="Pass --only access, or leave --only out.",
        )
    return local_endpoint("verify", given, url, allow_remote=allow_remote)


def _verify_api(
    connection: "Connection",
    expectations: "Expectations",
    endpoint: "Endpoint",
    verification: "Verification",
) -> "Verification":
    from supabase_jobs.database.connection import second_connection
    from supabase_jobs.verify import access
    from supabase_jobs.verify.access import http

    if access.AREA in verification.unchecked:  # there are no outcomes to compare with
        return verification
    with progress(f"checking the API at {endpoint.url}"), second_connection(connection) as guard:
        return http.run(connection, guard, expectations, endpoint, verification, advance)


def _explain(given: "Settings", id_: str, form: str, output: Path | None) -> None:
    from supabase_jobs.verify.expectations import load_expectations
    from supabase_jobs.verify.explain import explain

    if form not in ("text", "json"):
        raise ConfigError(f"--explain cannot print {form}", hint="Pass --json, or no format.")

    def connect() -> "AbstractContextManager[Connection]":
        return connected(given)

    explanation = explain(id_, load_expectations(given), connect)
    if output is not None:
        import json

        document = json.dumps(explanation.as_dict(), indent=2, ensure_ascii=False) + "\n"
        write_file(output, document if form == "json" else explanation.sql)
    elif form == "json":
        print_json(explanation.as_dict())
    else:
        click.echo(explanation.sql, nl=False)
