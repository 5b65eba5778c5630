"""`supabase-jobs apply`."""

import re
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from supabase_jobs.cli.annotations import annotate_findings
from supabase_jobs.cli.common import (
    advance,
    as_json,
    connected,
    json_option,
    narrate,
    output,
    print_json,
    progress,
    settings,
    shared_options,
)
from supabase_jobs.cli.reports import show_report
from supabase_jobs.cli.terminal import report_width
from supabase_jobs.exit_codes import passed

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.errors import Diagnostic

    from supabase_jobs.database.connection import Connection
    from supabase_jobs.findings import AccessDiff, Verification
    from supabase_jobs.migrations.apply import AppliedMigration
    from supabase_jobs.migrations.dry_run import DryRun
    from supabase_jobs.settings import Settings
    from supabase_jobs.sources.files import MigrationFiles
    from supabase_jobs.verify.expectations import Expectations

# the time limit of each audit of a dry run, which is no reason to wait
_AUDIT_SECONDS = 10
_INDENT = "  "  # of the changes of access
_DO_BLOCK = "PL/pgSQL function inline_code_block"
_APPLY = "apply commits the pending files to this database, each in a transaction"
_DRY_RUN_EMBEDDED = (
    "apply --dry-run runs the pending files in one transaction, audits and verifies in it, and"
    " rolls it back"
)
_DRY_RUN = (
    "apply --dry-run runs the pending files alone in one transaction, rolls it back, and gives way"
    " to sessions that wait; it does not audit or verify (`plan --access` audits a copy)"
)
_UNITS = {"ms": 1, "s": 1000, "min": 60_000}


class Duration(click.ParamType[int]):
    """A duration as PostgreSQL writes it (`500ms`, `4s`, `1min`; milliseconds without a unit), in
    milliseconds.
    """

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Parse the duration; it is at least 1 ms, because 0 would disable the timeout."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,9})(ms|s|min)?", str(value))
        milliseconds = int(match[1]) * _UNITS[match[2] or "ms"] if match else 0
        if not 1 <= milliseconds < 2**31:
            self.fail(f"{value!r} is not a duration such as 500ms, 4s or 1min", param, ctx)
        return milliseconds


@click.command(epilog="Example: supabase-jobs apply --lock-timeout 2s --retries 10")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Run all pending files in one transaction and roll back; on an embedded server, verify"
    " before that, and report what changes in who can do what.",
)
@click.option("--to", metavar="VERSION", help="Apply only up to this version, inclusive.")
@click.option(
    "--lock-timeout",
    type=Duration(),
    default="500ms",
    show_default=True,
    help="How long a statement waits for a lock.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 100),
    default=20,
    show_default=True,
    help="How often a file is retried after a lock timeout.",
)
@click.option(
    "--include-all",
    is_flag=True,
    help="Also apply pending files older than the newest applied one.",
)
@shared_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    dry_run: bool,
    to: str | None,
    lock_timeout: int,
    retries: int,
    include_all: bool,
) -> None:
    """Apply the pending migrations, each file in a transaction, and record them as `supabase db
    push` does.

    Stops before anything runs if files and database disagree (exit 4) or a file is refused (exit
    2). If a statement fails, its file is rolled back and the files before it are kept (exit 6).
    """
    from supabase_jobs.migrations.apply import ApplyObserver, apply_pending
    from supabase_jobs.migrations.locks import LockOptions
    from supabase_jobs.sources import project

    given = settings(ctx)
    files = project.files(given)
    options: dict[str, Any] = {
        "to": to,
        "include_all": include_all,
        "lock_options": LockOptions(lock_timeout_ms=lock_timeout, retries=retries, narrate=narrate),
    }
    if dry_run:
        _dry_run(ctx, given, files, options)
        return
    text = not as_json(ctx)
    write_errors: list[OSError] = []
    observer = ApplyObserver(
        narrate,
        progress,
        lambda migration: _print_applied(migration, write_errors) if text else None,
        advance,
    )
    with connected(given, _APPLY) as connection:
        connection.add_notice_handler(_narrate_notice)
        applied, before = apply_pending(connection, files, observer=observer, **options)
    if not text:
        print_json(
            {"applied": [asdict(a) for a in applied], "already_applied": before, "dry_run": False}
        )
    elif not applied:
        from supabase_jobs.report.phrases import counted

        are = "is" if len(before) == 1 else "are"
        click.echo(f"Nothing to apply; {counted(len(before), 'migration')} {are} applied already.")
    if write_errors:
        raise write_errors[0]


def _narrate_notice(notice: "Diagnostic") -> None:
    """Print a notice of a migration (RAISE NOTICE); of a function, it may hold values of rows."""
    from supabase_jobs.database.hidden_values import values_are_hidden

    severity = (notice.severity_nonlocalized or "notice").lower()
    is_of_function = bool(notice.context) and not str(notice.context).startswith(_DO_BLOCK)
    if is_of_function and values_are_hidden():
        return
    narrate(f"{severity}: {notice.message_primary}")
    if notice.message_hint:
        narrate(f"hint: {notice.message_hint}", is_pasted=True)


def _print_applied(migration: "AppliedMigration", write_errors: list[OSError]) -> None:
    """Print an applied file at once, because a later file may fail.

    If stdout cannot be written, the other files are still applied; the error determines the exit
    code at the end.
    """
    try:
        output(f"applied  {migration.version}  {migration.name}  {migration.ms:.0f} ms")
    except OSError as error:
        write_errors.append(error)


def _dry_run(
    ctx: click.Context,
    given: "Settings",
    files: "MigrationFiles",
    options: dict[str, Any],
) -> None:
    from supabase_jobs.cli.access import compare_pending
    from supabase_jobs.local.embedded import is_embedded
    from supabase_jobs.migrations.dry_run import dry_run
    from supabase_jobs.sources import project
    from supabase_jobs.verify.expectations import load_expectations

    expectations = load_expectations(given) if project.installs_sources(given, files) else None

    def check(connection: "Connection", expectations: "Expectations") -> "Verification":
        from supabase_jobs.verify.verify import verify

        return verify(connection, expectations)

    access = None
    with connected(given) as connection:
        connection.add_notice_handler(_narrate_notice)
        embedded = is_embedded(connection)
        narrate(_DRY_RUN_EMBEDDED if embedded else _DRY_RUN)
        verified = partial(check, expectations=expectations) if expectations and embedded else None

        before: list[str] = []

        def run_files(check: "Callable[[Connection], Verification | None] | None") -> "DryRun":
            with progress("running the pending files in a dry run"):
                run, before[:] = dry_run(connection, files, check=check, **options)
            return run

        if embedded and _is_ready(connection, files, options):
            run, access = compare_pending(
                connection,
                given,
                run_files,
                verify=verified,
                seconds=_AUDIT_SECONDS,
                required=False,
            )
        else:
            run = run_files(verified)
    for warning in run.warnings:
        narrate(f"warning: {warning}")
    if as_json(ctx):
        from supabase_jobs.report.producers import access as access_changes
        from supabase_jobs.report.producers import verify

        verification = run.verification
        print_json(
            {
                "applied": [asdict(f) for f in run.files],
                "already_applied": before,
                "dry_run": True,
                "skipped": [{"version": m.version, "name": m.name} for m in run.skipped],
                "verify": None if verification is None else verify.contract(verification),
                "access": None if access is None else access_changes.contract(access),
            }
        )
    else:
        _print_dry_run(run, access)
    if run.verification is not None:
        from supabase_jobs.report.producers.verify import document

        annotate_findings(document(run.verification))
    ctx.exit(passed(run.verification is None or run.verification.ok))


def _is_ready(connection: "Connection", files: "MigrationFiles", options: dict[str, Any]) -> bool:
    """Whether there are pending files, and no problem that stops the dry run."""
    from supabase_jobs.migrations import ledger
    from supabase_jobs.migrations.plan import plan

    rows = ledger.read(connection, options["lock_options"]).rows
    migration_plan = plan(files, rows, to=options["to"], include_all=options["include_all"])
    return bool(migration_plan.pending) and not migration_plan.problems


def _print_access(access: "AccessDiff") -> None:
    from supabase_jobs.report.formats import text
    from supabase_jobs.report.producers.access import counts, document

    _print_row(f"access       {counts(access)}")
    changes = replace(document(access), closing=())
    width = report_width()
    inner = None if width is None else width - len(_INDENT)
    for line in text.write(changes, whole=False, width=inner).splitlines():
        click.echo(f"{_INDENT}{line}" if line else "")


def _print_row(text: str) -> None:
    """A row of the dry run, in lines of the width of a report, if there is one."""
    from supabase_jobs.report.terminal import wrapped

    for line in wrapped(text, report_width(), rest=" " * len("ran          ")):
        click.echo(line.rstrip())


def _print_dry_run(run: "DryRun", access: "AccessDiff | None") -> None:
    for file in run.files:
        lock = "no further lock on an existing table" if file.lock is None else file.lock.mode
        tables = "" if file.lock is None else f" on {', '.join(file.lock.tables)}"
        _print_row(f"ran          {file.version}  {file.name}  {file.ms:.0f} ms  {lock}{tables}")
        if file.locks:
            narrate(
                f"note: {file.file_name} locks until it commits: {'; '.join(map(str, file.locks))}"
            )
    for migration in run.skipped:
        _print_row(
            f"skipped      {migration.version}  {migration.name}  cannot run in a transaction"
        )
    if not run.files and not run.skipped:
        click.echo("Nothing to apply.")
    if access is not None:
        _print_access(access)
    if run.verification is not None:
        from supabase_jobs.report.phrases import counted
        from supabase_jobs.report.producers.verify import document, unchecked

        if run.verification.ok:
            state = unchecked(run.verification)
            checks = counted(run.verification.checks, "check")
            narrate(f"verified: {checks}, no errors{state and f'; {state}'}")
        else:
            show_report(document(run.verification), "text", None, whole=False)
    narrate("All changes were rolled back.")
