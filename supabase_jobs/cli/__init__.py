"""The command line: parse, call one function, report, exit. A module a command, imported when it is used."""

import errno
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

import click

from supabase_jobs.cli.common import report_error, shared_options, wants_json
from supabase_jobs.errors import ConfigError, SupabaseJobsError

# as a shell reports a process that SIGPIPE has ended
UNWRITABLE = 128 + 13

# one line each here, so that `--help` imports none of them
COMMANDS = {
    "demo": "Start a throwaway database, apply the migrations, verify, print the access matrix.",
    "local": "Start, stop and look after the embedded server of this directory.",
    "render": "Render the SQL sources into Supabase migration files.",
    "plan": "Show what apply would do, and change nothing.",
    "apply": "Apply the pending migrations, each in a transaction of its own.",
    "status": "Show every migration: applied, pending, edited or remote-only.",
    "verify": "Check a live database against what the migrations expectations.",
    "mutate": "Break a local database on purpose, and report which faults verify catches.",
    "cleanup": "Delete expired jobs and inactive guests, in short transactions.",
    "migrate-guest": "Move a guest's jobs to a user.",
    "stats": "Show jobs by state and age, what is slow or stuck, sizes, and the use of indexes.",
    "check-results": "Sample completed jobs, and warn where result or metadata has another form than documented.",
}

EPILOG = """\
\b
The database is, in this order: --db-url, SUPABASE_DB_URL, or the embedded server
that `supabase-jobs local start` has started in this directory.

\b
Example: supabase-jobs demo
"""


class LazyGroup(click.Group):
    """A group whose commands are imported one at a time, when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import `supabase_jobs.cli.NAME` (`a_b` for a-b) and return its `command`."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        command: click.Command = import_module(f"supabase_jobs.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from COMMANDS, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="supabase-jobs", prog_name="supabase-jobs")
@shared_options
def cli() -> None:
    """Versioned SQL for Supabase jobs shared by guests and users: rendered, applied, and proved live."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code of docs; no error ends in a traceback."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is: not every encoding has every character
    _stop_like_an_interrupt()
    code = _run(words)
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        code = code or _unwritable()
    try:
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        sys.stderr = _nowhere()  # or Python would end with 120
    sys.exit(code)


def _run(words: Sequence[str]) -> int:
    as_json = wants_json(words)
    try:
        if sys.stdout is None:
            raise ConfigError("stdout is closed, so there is nowhere to print to", hint="Redirect it to /dev/null.")
        code = cli.main(args=list(words), prog_name="supabase-jobs", standalone_mode=False)
    except SupabaseJobsError as error:
        code = report_error(error, as_json)
    except click.ClickException as error:
        code = _report_usage(error, words, as_json)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted; what was not committed by then has been rolled back.", err=True)
        code = 128 + (_stopped_by or signal.SIGINT)
    except SystemExit:  # click's own answer to a broken pipe
        code = _unwritable()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO):
            raise
        code = _unwritable()
    except Exception as error:  # noqa: BLE001  no error ends in a traceback
        code = _report_unforeseen(error, words, as_json)
    return code if isinstance(code, int) else 0


def _unwritable() -> int:
    """Nobody reads our output any more (head, less), or its disk is full: there is nobody left to tell."""
    sys.stdout = _nowhere()  # or Python would try once more at its end, and print a traceback
    with suppress(OSError, ValueError):
        click.echo("error: the output could not be written", err=True)
    return UNWRITABLE


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  for as long as the process lives


_stopped_by = 0


class _Stopped(KeyboardInterrupt):  # psycopg cancels on it the statement that runs
    """A class of its own: after a plain one has left an exec(), `python -m` ends by SIGINT, whatever the exit code."""


def _stop_like_an_interrupt() -> None:
    """Ctrl-C, SIGTERM and SIGHUP end what is being done alike: the server cancels, files are removed."""

    def stop(number: int, _frame: object) -> None:
        global _stopped_by
        _stopped_by = number
        raise _Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, stop)


def _report_unforeseen(error: Exception, words: Sequence[str], as_json: bool) -> int:
    unforeseen = SupabaseJobsError(
        f"unforeseen {type(error).__name__}; this is a fault of supabase-jobs",
        hint="Set SUPABASE_JOBS_TRACEBACK=1 to see where, and report it.",
    )
    unforeseen.code = "internal"
    code = report_error(unforeseen, as_json)
    if os.environ.get("SUPABASE_JOBS_TRACEBACK"):
        import traceback

        from supabase_jobs.cli.secrets import without_these

        click.echo(without_these("".join(traceback.format_exception(error)), words, os.environ), err=True)
    return code


def _report_usage(error: click.ClickException, words: Sequence[str], as_json: bool) -> int:
    """Say what is wrong with a command line, which may hold a URL with a password where none belongs."""
    from io import StringIO

    from supabase_jobs.cli.annotations import annotate_error
    from supabase_jobs.cli.secrets import without_these

    message = without_these(error.format_message(), words, os.environ)
    usage = SupabaseJobsError(message, hint="supabase-jobs --help")
    usage.code = "usage"
    if as_json:
        return report_error(usage, as_json)
    shown = StringIO()
    error.show(file=shown)
    click.echo(without_these(shown.getvalue(), words, os.environ), err=True, nl=False)
    annotate_error(usage, message, None)
    return usage.exit_code
