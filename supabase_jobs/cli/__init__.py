"""The command line: parse, call one function, report, exit. A module a command, imported when it is used."""

import sys
from collections.abc import Sequence

import click

from supabase_jobs.cli.common import report_error, shared_options, wants_json
from supabase_jobs.errors import SupabaseJobsError

# one line each here, so that `--help` imports none of them
COMMANDS = {
    "demo": "Start a throwaway database, apply the migrations, verify, print the access matrix.",
    "local": "Start, stop and look after the embedded server of this directory.",
    "render": "Render the SQL sources into Supabase migration files.",
    "plan": "Show what apply would do, and change nothing.",
    "apply": "Apply the pending migrations, each in a transaction of its own.",
    "status": "Show every migration: applied, pending, edited or remote-only.",
    "verify": "Check a live database against what the migrations promise.",
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
        """Import `supabase_jobs.cli.NAME` and return its `command`."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        command: click.Command = import_module(f"supabase_jobs.cli.{cmd_name}").command
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
    as_json = wants_json(words)
    try:
        code = cli.main(args=words, prog_name="supabase-jobs", standalone_mode=False)
    except SupabaseJobsError as error:
        code = report_error(error, as_json)
    except click.ClickException as error:
        if as_json:
            usage = SupabaseJobsError(error.format_message(), hint="supabase-jobs --help")
            usage.code = "usage"
            code = report_error(usage, as_json)
        else:
            error.show()
            code = 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted; what was not committed by then has been rolled back.", err=True)
        code = 130
    except BrokenPipeError:
        # whoever read our output has seen enough (head, less); there is nobody left to tell
        sys.stderr.close()
        code = 141
    except Exception as error:
        unforeseen = SupabaseJobsError(
            f"unforeseen {type(error).__name__}; this is a fault of supabase-jobs",
            hint="Set SUPABASE_JOBS_TRACEBACK=1 to see where, and report it.",
        )
        unforeseen.code = "internal"
        code = report_error(unforeseen, as_json)
        import os

        if os.environ.get("SUPABASE_JOBS_TRACEBACK"):
            raise
    sys.exit(code if isinstance(code, int) else 0)
