"""`supabase-jobs drift`."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.access import State, compare_states, project_baseline
from supabase_jobs.cli.common import (
    connected,
    narrate,
    progress,
    settings,
    shared_options,
)
from supabase_jobs.cli.project_database import (
    audited_files,
    narration,
    project_files,
)
from supabase_jobs.cli.reports import report_options, show_reports, targets
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.exit_codes import ExitCode
from supabase_jobs.report import FORMATS

if TYPE_CHECKING:
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.findings import AccessChange, AccessDiff, Drift, DriftFinding
    from supabase_jobs.projects.catalog import Key
    from supabase_jobs.projects.drift import Difference
    from supabase_jobs.settings import Settings

# kinds of facts that change nothing in who can do what
_WITHOUT_ACCESS = {"index", "persistence", "replica identity", "parameters", "owned by"}


@click.command(epilog="Example: supabase-jobs drift --exit-code")
@click.option("--exit-code", is_flag=True, help="Exit 4 if catalogs and migrations differ.")
@click.option(
    "--no-access", is_flag=True, help="Do not audit what the differences change in the access."
)
@report_options(FORMATS)
@shared_options
@click.pass_context
def command(
    ctx: click.Context,
    exit_code: bool,
    no_access: bool,
    forms: tuple[str, ...],
    as_json: bool,
    files: tuple[Path, ...],
) -> None:
    """Show what the database has more and less than its migrations, with the SQL for both ways.

    Compares the catalogs with those of an embedded server of the same major version, to which the
    same migrations were applied: those of the ledger. Objects of the platform and rows of users do
    not count. The database is only read. Differences that change who can do what come first.
    """
    from supabase_jobs.report.producers.drift import document

    reports = targets(forms, files, as_json=as_json)
    given = settings(ctx)
    result = _drift(given, access=not no_access)
    show_reports(document(result), reports)
    if exit_code and result.findings:
        ctx.exit(ExitCode.DRIFT)


def _drift(given: "Settings", *, access: bool) -> "Drift":
    from supabase_jobs.database.connection import describe
    from supabase_jobs.findings import Drift
    from supabase_jobs.migrations import ledger
    from supabase_jobs.projects.applied import applied_files, default_privileges, not_comparable
    from supabase_jobs.projects.built import built
    from supabase_jobs.projects.catalog import read_facts
    from supabase_jobs.projects.drift import compare, printed_otherwise, try_out
    from supabase_jobs.projects.exposed_schemas import served_schemas
    from supabase_jobs.sources.config_toml import bucket_names

    started = time.monotonic()
    with connected(given) as connection:
        narrate("note: reads the catalogs; nothing is written")
        rows = ledger.read(connection).rows
        facts = read_facts(connection)
        served = served_schemas(given.directory, given.db_url, connection)
        major = connection.info.server_version // 10_000
        database = str(describe(connection))
    files = applied_files(project_files(given), rows, narrate)
    state = built(
        given.directory,
        files,
        major=major,
        default_privileges=default_privileges(facts),
        narration=narration(),
    )
    with state as project:
        with project.connected() as embedded:
            expected = read_facts(embedded)
            ignored = not_comparable(facts, expected, project.missing, files)
            ignored |= printed_otherwise(embedded, facts, expected)
            ignored |= {(name, "bucket", "") for name in bucket_names(given.directory)}
        found = compare(facts, expected, ignored)
        diff = None
        untried: dict[Key, str] = {}
        if found:
            with (
                project.copied() as (original, copy),
                progress("trying the SQL of the differences"),
            ):
                untried = try_out(copy, facts, expected, found)
                diff = _access(given, served, original, copy) if access else None
    findings = tuple(_finding(d, untried.get(d.key, "")) for d in found)
    result = Drift(
        findings=findings,
        database=database,
        migrations=len(files.migrations),
        milliseconds=(time.monotonic() - started) * 1000,
    )
    return result if diff is None else _classified(result, diff)


def _access(
    given: "Settings", served: tuple[str, ...], original: "Connection", copy: "Connection"
) -> "AccessDiff | None":
    """The access that a database has other than by its migrations; None if it cannot be audited."""
    from supabase_jobs.audit.options import Options
    from supabase_jobs.sources.files import MigrationFiles

    nothing = MigrationFiles(())
    try:
        diff = compare_states(
            given,
            (original, State("the migrations", nothing, served)),
            (copy, State("the database", nothing, served)),
            Options(
                files=audited_files(given),
                stable=True,
            ),
            project_baseline(),
        )
    except SupabaseJobsError as error:
        narrate(f"note: who can do what was not compared: {error.message}")
        return None
    return diff


def _finding(difference: "Difference", untried: str) -> "DriftFinding":
    from supabase_jobs.findings import DriftFinding, Id, Severity

    object_, kind, name = difference.key
    minor = kind.startswith("comment")
    return DriftFinding(
        id=Id("drift", object_, kind, name),
        severity=Severity.INFO if minor else Severity.WARNING,
        object=object_,
        kind=kind,
        message=_message(difference),
        capture=difference.capture,
        restore=difference.restore,
        untried=untried,
    )


def _message(difference: "Difference") -> str:
    database, migrations = (_short(v) for v in (difference.database, difference.migrations))
    if difference.direction == "more":
        return f"{difference.subject} is in the database only: {database}"
    if difference.direction == "less":
        return f"{difference.subject} is in the migrations only: {migrations}"
    return f"{difference.subject} is {database} in the database, and {migrations} in the migrations"


def _short(value: str | None) -> str:
    text = " ".join((value or "").split())
    return text if len(text) <= 200 else f"{text[:200]}…"


def _classified(result: "Drift", diff: "AccessDiff") -> "Drift":
    """Give each finding the changes of access of its object; those that widen access come first."""
    from supabase_jobs.findings import Severity

    findings = []
    for finding in result.findings:
        own = tuple(c for c in diff.changes if _concerns(c, finding))
        is_wider = any(c.severity is Severity.ERROR for c in own)
        severity = Severity.ERROR if is_wider else finding.severity
        findings.append(replace(finding, access=own, severity=severity))
    order = [Severity.ERROR, Severity.WARNING, Severity.INFO]
    return replace(
        result,
        findings=tuple(sorted(findings, key=lambda f: order.index(f.severity))),
        access=diff,
    )


def _concerns(change: "AccessChange", finding: "DriftFinding") -> bool:
    """Whether a change of access is about the object of a finding, or caused by it."""
    if finding.kind in _WITHOUT_ACCESS or finding.kind.startswith("comment"):
        return False
    name = finding.object.partition("(")[0]  # of a function without its arguments
    return change.label == finding.object or change.origin == name
