"""`supabase-jobs demo`: the migrations on a new database, a mistake, what verify reports, and its
fix.
"""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.common import (
    advance,
    as_json,
    json_option,
    narrate,
    progress,
    settings,
    shared_options,
)
from supabase_jobs.cli.reports import report
from supabase_jobs.errors import VerificationError
from supabase_jobs.exit_codes import passed
from supabase_jobs.report.phrases import counted

if TYPE_CHECKING:
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.findings import Verification
    from supabase_jobs.local.server import ServerInfo
    from supabase_jobs.settings import Settings
    from supabase_jobs.verify.expectations import Expectations

_MISTAKE = Path(__file__).with_name("demo_mistake.sql")
_REPORT = "report.html"
# what this program writes into every HTML report
_GENERATOR = '<meta name="generator" content="supabase-jobs">'
_CLONE = Path(__file__).parents[2]
# in a clone, from which nothing is installed yet
_NEXT_IN_CLONE = """\
Next:
  ./scripts/demo --all       print every cell of the matrix
  pip install '.[local]'     install the command supabase-jobs
  supabase-jobs audit        in your project: who can do what with your own tables"""


@click.command(epilog="Example: supabase-jobs demo --keep")
@click.option(
    "--keep", is_flag=True, help="Leave the database running as this directory's local server."
)
@click.option("--all", "whole", is_flag=True, help="Print the whole access matrix.")
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, keep: bool, whole: bool) -> None:
    """Apply the migrations to a new database like Supabase, verify, make a mistake, and fix it.

    Prints who can do what, plants a policy that lets everyone read, and shows what verify reports
    and the SQL that repairs it. Writes report.html. Exits 1 if verify finds an error that was not
    planted. Leaves nothing running without --keep. The database is always a new local one: --db-url
    is ignored.
    """
    from supabase_jobs.database.connection import connect
    from supabase_jobs.migrations.apply import ApplyObserver, apply_pending
    from supabase_jobs.report.producers.verify import document
    from supabase_jobs.sources import project
    from supabase_jobs.sources.files import MigrationFiles
    from supabase_jobs.verify.expectations import load_expectations
    from supabase_jobs.verify.verify import verify

    command_settings = settings(ctx)
    files = MigrationFiles(project.rendered(command_settings))
    expectations = load_expectations(command_settings)
    started = time.monotonic()
    with _server(command_settings, keep) as server, connect(server.url) as connection:
        with progress("applying the migrations to a new database"):
            applied, _ = apply_pending(connection, files, observer=ApplyObserver(advance=advance))
        with progress("verifying it"):
            result = verify(connection, expectations, advance=advance)
        server_version = connection.info.parameter_status("server_version")
        narrate(
            f"PostgreSQL {server_version}: {len(applied)} migrations applied, {result.checks}"
            " checks,"
            f" {time.monotonic() - started:.1f} s"
        )
        if as_json(ctx):
            click.echo(report(document(result), "json"), nl=False)
        elif not result.ok:
            click.echo(report(document(result), "text", whole=False), nl=False)
        else:
            click.echo("Who can do what with the jobs of guests and users:")
            click.echo(report(document(result), "text", whole=whole), nl=False)
            result = _make_and_fix_a_mistake(connection, expectations)
            write_report(command_settings.directory, result)
            click.echo(next_commands())
    if keep:
        stop = f"{program()} local stop"
        narrate(f"still running at {server.url}; stop it with: {stop}", is_pasted=True)
    ctx.exit(passed(result.ok))


def program() -> str:
    """The program as it was started; supabase-jobs may not be installed, or be in an environment
    that is not active.
    """
    if shutil.which("supabase-jobs") is not None:
        return "supabase-jobs"
    if Path(sys.argv[0]).name == "supabase-jobs":
        return shlex.quote(sys.argv[0])
    return f"{shlex.quote(sys.executable)} -m supabase_jobs"


def next_commands() -> str:
    """The next commands to run, with the program as it was started."""
    name = program()
    if name != "supabase-jobs" and (_CLONE / "scripts" / "demo").is_file():
        return _NEXT_IN_CLONE
    lines = (
        ("demo --all", "print every cell of the matrix"),
        ("audit", "in your project: who can do what with your own tables"),
        ("render", "write these migrations into supabase/migrations"),
    )
    width = len(name) + len(" demo --all")
    return "\n".join(
        ["Next:", *(f"  {f'{name} {command}':<{width}}   {what}" for command, what in lines)]
    )


def _colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _make_and_fix_a_mistake(
    connection: "Connection", expectations: "Expectations"
) -> "Verification":
    """Plant the mistake, print what verify reports, run the printed fix, and return the result
    after it.
    """
    from supabase_jobs.database.sql_files import sql_file
    from supabase_jobs.report.formats import text
    from supabase_jobs.report.overview import overview
    from supabase_jobs.report.printable import sql
    from supabase_jobs.report.producers.verify import groups
    from supabase_jobs.verify.verify import verify

    mistake = sql_file(_MISTAKE)
    click.echo(f"\nA mistake that a review can miss:\n{mistake.text.strip()};")
    mistake.execute(connection)
    broken = verify(connection, expectations)
    if broken.ok:
        raise VerificationError("verify does not report the mistake of the demo")
    click.echo("verify shows the cells that are wrong now:")
    wrong = overview(broken.grids[0], only_mismatches=True)
    click.echo(text.matrix(wrong, colour=_colour()), nl=False)
    [group] = groups(broken.findings)
    fix = "\n".join(map(sql, group.fixes))
    click.echo(
        click.style(f"FAILED: {counted(len(group.findings), 'finding')}, one cause", fg="red")
    )
    # without what was expected, which is in the fix
    problem = broken.problems.get(group.first.id, group.first.message)
    click.echo(f"{problem}\nfix:\n{fix}")
    for statement in group.fixes:
        connection.execute(statement.encode())
    fixed = verify(connection, expectations)
    click.echo(
        click.style(
            f"{'ok' if fixed.ok else 'FAILED'} after the fix: {fixed.checks} checks\n", fg="green"
        )
    )
    return fixed


def write_report(directory: Path, result: "Verification") -> None:
    """Write the whole result as HTML, unless a file of that name is not a report."""
    from supabase_jobs.report.producers.verify import document

    path = directory / _REPORT
    try:
        if path.exists() and _GENERATOR not in path.read_text(encoding="utf-8", errors="replace"):
            narrate(f"note: {path} is another file, so no report was written")
            return
        path.write_text(report(document(result), "html"), encoding="utf-8")
    except OSError as error:
        narrate(f"note: no report was written: {path}: {error.strerror}")
        return
    click.echo(f"Report with every cell and its SQL: {path}")


@contextmanager
def _server(command_settings: "Settings", keep: bool) -> Iterator["ServerInfo"]:
    from supabase_jobs.local.server import start, throwaway

    with ExitStack() as stack:
        with progress("starting a temporary PostgreSQL like Supabase's", quiet=True):
            server = start(command_settings.directory) if keep else stack.enter_context(throwaway())
        yield server
