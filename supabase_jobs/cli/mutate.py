"""`supabase-jobs mutate`."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supabase_jobs.cli.common import (
    JSON_HELP,
    advance,
    check_folder,
    connected,
    database_url,
    narrate,
    progress,
    settings,
    shared_options,
    write_file,
)
from supabase_jobs.cli.completion import KINDS, complete_list
from supabase_jobs.cli.private import without_private
from supabase_jobs.cli.project_database import (
    audited_files,
    hiding,
    suite_database,
)
from supabase_jobs.cli.reports import check_report, show_report
from supabase_jobs.cli.terminal import counter, is_terminal
from supabase_jobs.errors import ConfigError
from supabase_jobs.exit_codes import passed
from supabase_jobs.report import FORMATS as REPORT_FORMATS
from supabase_jobs.verify.areas import AREAS

if TYPE_CHECKING:
    from supabase_jobs.findings import SuiteMutant, SuiteMutation
    from supabase_jobs.mutation.suite.suite_run import Plan
    from supabase_jobs.settings import Settings

_EFFECT = (
    "mutate injects faults in one transaction and rolls each back; others wait for it until it ends"
)
# those that list findings at lines of files have nothing to say about a suite
FORMATS = tuple(form for form in REPORT_FORMATS if form not in ("codequality", "sarif"))
# parameter → option, where the names differ
_NAMES = {"tables": "table", "tests_folder": "tests", "whole": "all"}


@click.command(epilog="Example: supabase-jobs mutate --run 'pytest -q tests/rls'")
@click.option(
    "--run",
    "suite",
    metavar="COMMAND",
    help="Test this suite instead of verify: run it once for each fault, with SUPABASE_DB_URL,"
    " DATABASE_URL and the"
    " PG… variables of a copy of the database.",
)
@click.option(
    "--only",
    metavar="NAME,…",
    shell_complete=lambda ctx, _option, word: complete_list(
        KINDS if ctx.params.get("suite") else AREAS, word
    ),
    help="Areas of verify that may kill a mutant (default: all): structure, access, functions,"
    " plans. Without"
    " structure, only the effect of a fault kills it, and the command takes several times as long."
    " With --run: kinds of faults: policies, privileges, functions.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="With --run: copies at a time (default: number of processors).",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="With --run: only N faults, chosen at random.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="With --sample: another number, other faults.",
)
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME",
    help="With --run: only this object; may be repeated.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="With --run: time limit of a run"
    " (default: none for the suite without a fault, then four times its time, and at least 10).",
)
@click.option(
    "--select-tests",
    type=click.Choice(("auto", "off")),
    help="With --run and pytest: auto (the default) runs the files that use the faulty object"
    " first, and ends a run at its first failed test; off runs all tests in their order.",
)
@click.option(
    "--tests",
    "tests_folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --run: write the missing tests into this folder, for pytest and pgTAP.",
)
@click.option(
    "--call-functions",
    is_flag=True,
    hidden=True,
)
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Allow a database that is not on an embedded server; never with --run.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="Format of the report (text, json; the others with --run).",
)
@click.option("--json", "json_", is_flag=True, help=JSON_HELP)
@click.option(
    "--all",
    "whole",
    is_flag=True,
    help="With --run: print the SQL and the missing tests of each survivor, as --output does.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --run: write the report to this file.",
)
@shared_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    suite: str | None,
    only: str | None,
    allow_remote: bool,
    format_: str | None,
    json_: bool,
    **options: Any,
) -> None:
    """Inject faults into a local database, one at a time, and report which of them verify or your
    suite detects.

    The faults are derived from the catalogs: policies, privileges, constraints, indexes, functions
    and others. Each is injected in a transaction, verified and rolled back. With --run, each is
    committed in a copy of the database. Exits 1 if a mutant survived, or if no fault was injected.
    """
    if json_ and format_ not in (None, "json"):
        raise ConfigError(
            f"--json conflicts with --format {format_}", hint="Pass only one of them."
        )
    form = "json" if json_ else format_ or "text"
    if suite is not None:
        if not suite.strip():
            raise ConfigError("--run is empty", hint="Pass a shell command: --run 'pytest -q'.")
        if allow_remote:
            raise ConfigError(
                "--run never uses a remote database", hint="Leave out --allow-remote."
            )
        _run_suite(ctx, suite, only, form, options)
        return
    given_options = [name for name, value in options.items() if value and name != "seed"]
    if given_options or form not in ("text", "json"):
        name = (
            f"--{_NAMES.get(given_options[0], given_options[0])}"
            if given_options
            else f"--format {form}"
        )
        raise ConfigError(
            f"{name.replace('_', '-')} needs --run",
            hint="Pass the command of a suite: --run 'pytest'.",
        )
    _run_verify(ctx, only, allow_remote, form)


def _run_verify(ctx: click.Context, only: str | None, allow_remote: bool, form: str) -> None:
    from supabase_jobs.mutation.mutate import mutate, refuse_remote
    from supabase_jobs.report.producers.mutation import document
    from supabase_jobs.verify.expectations import load_expectations
    from supabase_jobs.verify.verify import parse

    areas = parse(only)
    given = settings(ctx)
    if not allow_remote:
        refuse_remote(database_url(given))
    expectations = load_expectations(given)
    with connected(given, _EFFECT) as connection:
        result = mutate(connection, expectations, areas, progress=progress, advance=advance)
    show_report(document(result), form, None)
    ctx.exit(passed(result.ok))


def _run_suite(
    ctx: click.Context, suite: str, only: str | None, form: str, options: Mapping[str, Any]
) -> None:
    from supabase_jobs.audit.options import Options
    from supabase_jobs.mutation.suite.faults import parse_kinds
    from supabase_jobs.mutation.suite.files import earlier_tests
    from supabase_jobs.mutation.suite.suite_run import SuiteOptions, SuiteRun
    from supabase_jobs.projects.exposed_schemas import served_schemas
    from supabase_jobs.report.producers.suite_mutation import document

    given = settings(ctx)
    kinds = parse_kinds(only)
    output: Path | None = options["output"]
    check_report(form, output)
    if options["tests_folder"] is not None:
        check_folder(options["tests_folder"])
        earlier_tests(options["tests_folder"])  # or an error, before the suite runs
    with suite_database(given) as database:
        audit_options = Options(
            served=served_schemas(
                given.directory, given.db_url, database.target or database.connection
            ),
            files=audited_files(given),
        )
        run = SuiteRun(
            database.connection,
            SuiteOptions(
                command=suite,
                jobs=options["jobs"] or _processors(),
                sample=options["sample"],
                seed=options["seed"],
                kinds=kinds,
                tables=options["tables"],
                excluded=frozenset() if options["tables"] else _managed(given),
                timeout=options["timeout"],
                selects=options["select_tests"] != "off",
                audit=hiding(audit_options, database.private, database.definitions),
            ),
        )
        interrupted = None
        with ExitStack() as stack:
            try:
                stack.enter_context(progress("running the suite without a fault"))

                def begin(plan: "Plan") -> "Callable[[SuiteMutant], None]":
                    stack.close()  # the step above has ended
                    return stack.enter_context(_progress(plan))

                run.run(begin, advance)
            except KeyboardInterrupt as interrupt:
                if not run.has_started:
                    raise
                interrupted = interrupt
        for note in run.notes:
            narrate(f"note: {note}")
        result = run.result(database.name)
    show_report(document(result), form, output, whole=options["whole"])
    if options["tests_folder"] is not None:
        _write_tests(options["tests_folder"], result)
    if interrupted is not None:
        raise interrupted
    ctx.exit(passed(result.ok))


@contextmanager
def _progress(plan: "Plan") -> Iterator[Callable[["SuiteMutant"], None]]:
    """Show the number of mutants and the time left: a bar on a terminal, otherwise ten lines."""
    total = len(plan.faults)
    from supabase_jobs.report.phrases import counted

    faults = counted(total, "fault")
    narrate(
        f"the suite passes in {plan.suite_seconds:.1f} s; {faults}, at most {plan.timeout:.0f} s"
        " each"
    )
    started, ended, killed = time.monotonic(), 0, 0
    with counter("mutants", lambda: total) as advance:

        def show(mutant: "SuiteMutant") -> None:
            nonlocal ended, killed
            ended, killed = ended + 1, killed + (mutant.state == "killed")
            advance(1)
            if not is_terminal() and ended * 10 // total != (ended - 1) * 10 // total:
                left = plan.seconds_left(time.monotonic() - started, ended)
                narrate(f"{ended}/{total} mutants, {killed} killed, {left:.0f} s left")

        yield show


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _managed(given: "Settings") -> frozenset[str]:
    """The objects of our migrations, which `verify` covers."""
    from supabase_jobs.verify import ownership
    from supabase_jobs.verify.expectations import load_expectations

    return ownership.managed_names(load_expectations(given))


def _write_tests(folder: Path, result: "SuiteMutation") -> None:
    """Add to a file for pytest, and to a pgTAP file for each object."""
    from supabase_jobs.mutation.suite.files import add_to
    from supabase_jobs.report.phrases import counted

    for name, text in add_to(folder, result.survivors).items():
        write_file(folder / name, without_private(text))
    tested = sum(bool(mutant.tests) for mutant in result.survivors)
    if tested:
        narrate(f"wrote the tests for {counted(tested, 'survivor')} into {folder}")
    if untested := len(result.survivors) - tested:
        narrate(f"no test was found for {counted(untested, 'survivor')}; --all prints why")
    if not result.survivors:
        narrate("no missing tests")
