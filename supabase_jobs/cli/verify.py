"""The command `supabase-jobs verify`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.annotations import annotate_findings
from supabase_jobs.cli.api_target import api_options, local_endpoint
from supabase_jobs.cli.common import (
    advance,
    connected,
    narrate,
    print_json,
    progress,
    settings,
    shared_options,
    write_file,
)
from supabase_jobs.cli.completion import listed
from supabase_jobs.cli.reports import Target, report_options, show_reports, targets
from supabase_jobs.errors import ConfigError
from supabase_jobs.exit_codes import passed
from supabase_jobs.report import FORMATS, load
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
_IN_USE = (
    "note: hooks, sign-in and functions of the project are called on an embedded server only;"
    " verify the migrations there too"
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
@report_options(FORMATS)
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
    forms: tuple[str, ...],
    as_json: bool,
    files: tuple[Path, ...],
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
    reports = targets(forms, files, as_json=as_json)
    if id_ is not None:
        _explain(given, id_, reports)
        return

    from supabase_jobs.database.connection import describe
    from supabase_jobs.local.embedded import is_embedded
    from supabase_jobs.sources import project
    from supabase_jobs.verify.applicable import has_managed_relation
    from supabase_jobs.verify.expectations import load_expectations
    from supabase_jobs.verify.verify import parse, verify

    areas = parse(only)
    expectations = load_expectations(given)
    has_sources = _has_sources(given)
    endpoint = None if api_url is None else _endpoint(given, areas, api_url, allow_remote)
    with connected(given, _EFFECT) as connection:
        database = str(describe(connection))
        if not has_sources and not has_managed_relation(connection):
            raise ConfigError(
                "the project has no jobs tables, so there is nothing to verify",
                hint="Check its own tables: supabase-jobs audit. Add jobs tables: supabase-jobs"
                " render.",
            )
        if not is_embedded(connection):
            narrate(_IN_USE)
        # the server answers the first area meanwhile
        Thread(target=_read_ahead, args=[areas, expectations, reports]).start()
        with progress("verifying", quiet=True):
            verification = verify(connection, expectations, areas, advance=advance)
        if endpoint is not None:
            verification = _verify_api(connection, expectations, endpoint, verification)
    from supabase_jobs.report.producers.verify import document

    # reports name the lines of objects with findings
    locations = project.object_locations(given) if verification.findings else {}
    verification = replace(verification, locations=locations, database=database)
    report = document(verification)
    show_reports(report, reports, whole=whole)
    annotate_findings(report)
    ctx.exit(passed(verification.ok))


def _read_ahead(
    areas: Sequence[str], expectations: "Expectations", reports: Sequence[Target]
) -> None:
    """Import the modules of the later areas and of the report, and read the declarations. An error
    in a declaration shows when its area runs.
    """
    from supabase_jobs.verify.verify import import_area

    for area in areas:
        import_area(area)
    from supabase_jobs.report.producers import verify  # noqa: F401

    for target in reports:
        load(target.form)
    from supabase_jobs.verify.access import matrix
    from supabase_jobs.verify.functions import scenarios

    with suppress(ConfigError, OSError):
        matrix.load(expectations.declaration(matrix.FILE_NAME), expectations.variables)
        scenarios.load(expectations.declaration(scenarios.FILE_NAME), expectations.variables)


def _has_sources(given: "Settings") -> bool:
    """Whether the project installs sources, or has no migrations that say so."""
    from supabase_jobs.sources import project

    if given.sql_dir is not None or given.migrations is None:
        return True
    found = project.loadable_files(given)
    return not found.migrations or project.installs_sources(given, found)


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


def _explain(given: "Settings", id_: str, reports: Sequence[Target]) -> None:
    from supabase_jobs.verify.expectations import load_expectations
    from supabase_jobs.verify.explain import explain

    if len(reports) > 1:
        raise ConfigError("--explain prints one text", hint="Pass --output once.")
    form, output = reports[0].form, reports[0].file
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
