"""Which database the fixtures work on, and what a project calls its guests' header."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from supabase_jobs.database.connection import connect
from supabase_jobs.database.conninfo import mask, read
from supabase_jobs.errors import ConfigError, LocalServerError
from supabase_jobs.local.info import ServerInfo
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.settings import DB_URL_VARIABLE, load_settings
from supabase_jobs.sources import project
from supabase_jobs.testing.session import refuse_remote

_GUEST_HEADER = "guest_header"  # the variable of the SQL sources

_NO_DATABASE = (
    "Say which database to test: --supabase-db-url, SUPABASE_DB_URL, supabase_db_url in pytest's configuration, or a"
    " fixture supabase_db_url or rls_connection of your own. Or install supabase-jobs[local]: tests then start a"
    " throwaway one and apply the project's migrations."
)


class DatabaseUrl(str):
    """A URL that shows no password when pytest prints it, as it does with every argument of a test that fails.

    `port` and `name` are those of this run's own throwaway server and its database; 0 and '' for any other.
    """

    port: int = 0
    name: str = ""

    def __repr__(self) -> str:
        try:
            conninfo = read(self)
        except ConfigError:
            return "'(a database URL)'"
        return repr(mask(str(self), conninfo.password, conninfo.address))


@contextmanager
def database(option: str | None, ini: str | None, directory: Path, *, allow_remote: bool) -> Iterator[str]:
    """The URL that was given (option, environment, ini, in this order), or else that of a throwaway server.

    The throwaway one holds what `supabase-jobs apply` would apply in `directory`. Raises ConfigError for a URL that
    leads to another machine, and what starting and applying raise.
    """
    given = option or os.environ.get(DB_URL_VARIABLE) or ini
    if given:
        refuse_remote(given, allow_remote)
        yield DatabaseUrl(given)
        return
    with _throwaway(directory) as info:
        url = DatabaseUrl(info.url)
        url.port, url.name = info.port, "postgres"
        yield url


def guest_header(ini: str | None, directory: Path) -> str:
    """The header by which a guest is known: the ini option, or the variable of the project's SQL sources; or `''`."""
    if ini:
        return ini
    variables = project.variables(load_settings(directory, {}))
    return str(variables.get(_GUEST_HEADER, ""))


@contextmanager
def _throwaway(directory: Path) -> Iterator[ServerInfo]:
    from supabase_jobs.local.server import throwaway

    files = project.files(load_settings(directory, {}))
    with ExitStack() as stack:
        try:
            info = stack.enter_context(throwaway())
        except (ConfigError, LocalServerError) as error:
            raise LocalServerError(
                f"no database was named, and a throwaway one cannot be started: {error.message}", hint=_NO_DATABASE
            ) from None
        with connect(info.url) as connection:
            apply_pending(connection, files)
        yield info
