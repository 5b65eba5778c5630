"""Entry point of the command line: commands, signals, exit codes. Each command has a module,
imported on use.
"""

import errno
import gc
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from math import inf
from threading import Timer
from typing import TextIO

import click

from supabase_jobs.cli.common import report_error, shared_options, wants_json
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.exit_codes import ExitCode

# exit code of a process that SIGPIPE terminates, as a shell reports it
UNWRITABLE = 128 + 13

# name → help, here so that `--help` imports no command
JOBS_TABLES = {
    "demo": "Start a throwaway database, apply the migrations, verify, print the access matrix.",
    "render": "Render the SQL sources into Supabase migration files.",
    "plan": "Show what apply would do; changes nothing.",
    "apply": "Apply the pending migrations, each in its own transaction.",
    "status": "Show every migration: applied, pending, edited, remote-only or renamed.",
    "verify": "Check a live database against the expectations of the migrations.",
    "cleanup": "Delete expired jobs and inactive guests, in short transactions.",
    "migrate-guest": "Move a guest's jobs to a user.",
    "stats": "Show jobs by status and age, slow and stuck jobs, sizes, and index usage.",
    "check-results": "Sample completed jobs and warn about result or metadata in an undocumented"
    " form.",
}
ANY_PROJECT = {
    "audit": "Report who can read and change what in a project's tables, and which of it"
    " is a leak.",
    "mutate": "Inject faults into a local database and report which of them verify or your suite"
    " detects.",
    "adopt": "Make files and ledger agree on migrations that have other versions or are missing.",
    "squash": "Write one migration for several, if it is proven that it does the same.",
    "drift": "Show what the database has more and less than its migrations.",
    "init": "Set a project up: AGENTS.md, a workflow for pull requests, the hooks of pre-commit.",
    "mcp": "Serve the read-only commands as tools for agents.",
    "local": "Start, stop, inspect and reset the embedded server of this directory.",
}
COMMANDS = {**JOBS_TABLES, **ANY_PROJECT}

EPILOG = """\
\b
The database is, in this order: --db-url, SUPABASE_DB_URL, or the embedded server
that `supabase-jobs local start` has started in this directory.

\b
Example: supabase-jobs demo
"""


class LazyGroup(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import `supabase_jobs.cli.NAME` (`a_b` for a-b) and return its `command`."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        command: click.Command = import_module(
            f"supabase_jobs.cli.{cmd_name.replace('-', '_')}"
        ).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the command that an unknown name resembles."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            if near := get_close_matches(args[0], COMMANDS, n=1):
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List COMMANDS in their groups, without importing any, and the exit codes."""
        with formatter.section("Jobs that guests and users share"):
            formatter.write_dl(list(JOBS_TABLES.items()))
        with formatter.section("Any project"):
            formatter.write_dl(list(ANY_PROJECT.items()))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), code.meaning) for code in ExitCode])


@click.command(
    cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="supabase-jobs", prog_name="supabase-jobs")
@shared_options
def cli() -> None:
    """Proof of who can do what in any Supabase project, and verified migrations for jobs that
    guests and users share.
    """


# A command allocates many objects and drops few of them in cycles. With Python's default of 700
# objects, the search for cycles takes a tenth of the processor time of verify, and two fifths of
# that of an audit of 60 tables. With 50,000, one search still takes 0.04 s in each.
COLLECT_AFTER = 200_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code (`exit_codes`); no error ends in a traceback."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    gc.set_threshold(COLLECT_AFTER)
    if sys.stderr is None:  # closed by the caller, who wants no messages
        sys.stderr = _nowhere()
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # like stderr: some encodings lack characters
    if sys.platform == "win32":
        unsupported = ConfigError(
            "supabase-jobs does not run on Windows", hint="Run it in WSL: wsl --install."
        )
        sys.exit(report_error(unsupported, wants_json(words)))
    _handle_signals()
    code = _run(words)
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        code = code or _unwritable()
    try:
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        sys.stderr = _nowhere()  # else Python exits with 120
    if _stopped_by:  # while Python ends, one more Ctrl-C would replace the exit code
        for name in _SIGNALS:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    sys.exit(code)


def _run(words: Sequence[str]) -> int:
    as_json = wants_json(words)
    try:
        if sys.stdout is None:
            raise ConfigError("stdout is closed", hint="Redirect it, for example to /dev/null.")
        if "_SUPABASE_JOBS_COMPLETE" in os.environ:
            from supabase_jobs.cli.completion import prepare

            prepare()
        code = cli.main(args=list(words), prog_name="supabase-jobs", standalone_mode=False)
    except SupabaseJobsError as error:
        code = report_error(error, as_json)
    except click.ClickException as error:
        code = _report_usage(error, words, as_json)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted; uncommitted changes were rolled back.", err=True)
        code = 128 + (_stopped_by or signal.SIGINT)
    except SystemExit as stop:  # raised by click: 0 after shell completion, 1 for a broken pipe
        code = 0 if stop.code == 0 else _unwritable()
    except Exception as error:  # noqa: BLE001  no error ends in a traceback
        if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EIO):
            code = _unwritable()
        elif isinstance(error, FileNotFoundError) and not _has_directory():
            code = report_error(_NO_DIRECTORY, as_json)
        else:
            code = _report_internal_error(error, words, as_json)
    return code if isinstance(code, int) else 0


_NO_DIRECTORY = ConfigError(
    "the current directory does not exist",
    hint="It was deleted or moved. Change to an existing folder: cd.",
)


def _has_directory() -> bool:
    try:
        os.getcwd()  # noqa: PTH109  Path.cwd() is the same
    except FileNotFoundError:
        return False
    return True


def _unwritable() -> int:
    """Report that stdout cannot be written: the reader of a pipe (head, less) has exited, or the
    disk is full.
    """
    sys.stdout = _nowhere()  # else Python flushes it again at exit and prints a traceback
    with suppress(OSError, ValueError):
        click.echo("error: the output could not be written", err=True)
    return UNWRITABLE


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  never closed


# seconds in which a second signal is ignored, because the first one has started to remove what the
# command made
_CLEANUP_SECONDS = 5.0
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # by name, because Windows lacks one
# seconds after which a signal is repeated that arrived where Python ignores exceptions
_REPEAT_SECONDS = 0.01
_stopped_by = 0
_stopped_at = -inf


class _Stopped(KeyboardInterrupt):  # psycopg cancels the running statement on a KeyboardInterrupt
    """Interrupt by a signal. After a plain KeyboardInterrupt from exec(), `python -m` ignores the
    exit code.
    """


def _handle_signals() -> None:
    """Let SIGTERM and SIGHUP end a command like Ctrl-C: the server cancels the statement, files are
    removed.
    """
    global _stopped_by
    _stopped_by = 0

    def stop(number: int, _frame: object) -> None:
        global _stopped_by, _stopped_at
        now = time.monotonic()
        if _stopped_by and now - _stopped_at < _CLEANUP_SECONDS:
            return
        _stopped_by, _stopped_at = number, now
        raise _Stopped

    numbers = [getattr(signal, name) for name in _SIGNALS]
    changed = [
        n for n in numbers if signal.getsignal(n) in (signal.SIG_DFL, signal.default_int_handler)
    ]
    for number in changed:
        signal.signal(number, stop)
    if changed:
        _repeat_ignored_signals()


def _repeat_ignored_signals() -> None:
    """Repeat a signal whose exception Python ignores: in `__del__`, or in the callback of a weak
    reference.
    """
    report = sys.unraisablehook

    def repeat(ignored: "sys.UnraisableHookArgs") -> None:
        global _stopped_at
        if not isinstance(ignored.exc_value, _Stopped):
            report(ignored)
            return
        _stopped_at = -inf
        # by a thread, because an exception here would be ignored too
        timer = Timer(_REPEAT_SECONDS, os.kill, (os.getpid(), _stopped_by))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = repeat


def _report_internal_error(error: Exception, words: Sequence[str], as_json: bool) -> int:
    internal = SupabaseJobsError(
        f"unexpected {type(error).__name__}; this is a bug in supabase-jobs",
        hint="Set SUPABASE_JOBS_TRACEBACK=1 to print a traceback, and report it.",
    )
    internal.code = "internal"
    code = report_error(internal, as_json)
    if os.environ.get("SUPABASE_JOBS_TRACEBACK"):
        import traceback

        from supabase_jobs.database.masking import mask_all

        click.echo(
            mask_all("".join(traceback.format_exception(error)), words, os.environ), err=True
        )
    return code


def _command_path(words: Sequence[str]) -> str:
    """The program and its command, for errors to which click attaches no context."""
    command = next((n for n, word in enumerate(words) if word in COMMANDS), None)
    if command is None:
        return "supabase-jobs"
    group = cli.get_command(click.Context(cli), words[command])
    parts = [
        n for n in words[command + 1 :] if isinstance(group, click.Group) and n in group.commands
    ]
    return " ".join(["supabase-jobs", words[command], *parts[:1]])


def _report_usage(error: click.ClickException, words: Sequence[str], as_json: bool) -> int:
    """Report an invalid command line, which may contain a password anywhere."""
    from supabase_jobs.database.masking import mask_all

    context = error.ctx if isinstance(error, click.UsageError) else None
    message = mask_all(error.format_message(), words, os.environ)
    usage = SupabaseJobsError(
        message[:1].lower() + message[1:].rstrip("."),
        hint=f"{_command_path(words) if context is None else context.command_path} --help",
    )
    usage.code = "usage"
    return report_error(usage, as_json)
