"""`supabase-jobs mcp`."""

import click

from supabase_jobs.cli.common import settings, shared_options
from supabase_jobs.errors import ConfigError


@click.command(epilog="Example: supabase-jobs mcp", name="mcp")
@shared_options
@click.pass_context
def command(ctx: click.Context) -> None:
    """Serve the read-only commands as tools for agents, by the Model Context Protocol on stdin and
    stdout.

    The tools audit the project of this directory, explain what they find, check SQL before it
    becomes a migration, propose proven repairs, and compare files and ledger. None of them writes
    to a database or to a file of the project.
    """
    given = settings(ctx)
    try:
        from supabase_jobs.cli.mcp_tools import server
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"supabase-jobs mcp needs the package {error.name}, which is not installed",
            hint="pip install 'supabase-jobs[mcp]'",
        ) from None
    server(given.directory, given.db_url).run("stdio")
