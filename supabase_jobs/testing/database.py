"""The database under test: a configured URL or a throwaway server; and the name of the guest
header.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.conninfo import read
from supabase_jobs.database.hosts import Address, is_local
from supabase_jobs.database.masking import mask
from supabase_jobs.errors import ConfigError, LocalServerError
from supabase_jobs.local.embedded import CLUSTER_NAME, MARKER
from supabase_jobs.local.server import ServerInfo, status
from supabase_jobs.session.steps import Steps
from supabase_jobs.settings import DB_URL_VARIABLE, load_settings
from supabase_jobs.sources import project

_GUEST_HEADER = "guest_header"  # the variable of the SQL sources

_NO_DATABASE = (
    "Set --supabase-db-url, SUPABASE_DB_URL or supabase_db_url in pytest's configuration, or"
    " override the fixture"
    " supabase_db_url or rls_connection. Or install supabase-jobs[local]: the tests then start a"
    " throwaway server and"
    " apply the project's migrations."
)


class DatabaseUrl(str):
    """A URL whose repr masks the password, because pytest prints the arguments of a failed test.

    `port` and `name` are the port of the local or throwaway server and the name of its database; 0
    and '' for other servers. `is_throwaway`: it was started for these tests.
    """

    port: int = 0
    name: str = ""
    is_throwaway: bool = False

    def __repr__(self) -> str:
        return repr(_masked(str(self)))


@contextmanager
def database(
    option: str | None, ini: str | None, directory: Path, *, allow_remote: bool
) -> Iterator[str]:
    """The configured URL (option, environment, ini, in this order), otherwise that of the local
    server of the directory if it runs, otherwise that of a throwaway server.

    The throwaway server has what an audit of `directory` loads. Raises ConfigError for a URL of
    another machine, LocalServerError if the server does not start, and the errors of the
    migrations.
    """
    configured = option or os.environ.get(DB_URL_VARIABLE) or ini
    if configured:
        require_local(configured, allow_remote)
        yield DatabaseUrl(configured)
        return
    running = status(directory)
    if running is not None:
        yield _of_server(running)
        return
    with _throwaway(directory) as info:
        url = _of_server(info)
        url.is_throwaway = True
        yield url


def describe(option: str | None, ini: str | None, directory: Path) -> str:
    """Which database is under test, for pytest's header; without a password."""
    for source, configured in (
        ("--supabase-db-url", option),
        (DB_URL_VARIABLE, os.environ.get(DB_URL_VARIABLE)),
        ("supabase_db_url", ini),
    ):
        if configured:
            return f"{_masked(configured)} ({source})"
    running = status(directory)
    if running is not None:
        return f"{_masked(running.url)} (the local server of this directory)"
    return "a new embedded server with the project's migrations"


def _of_server(info: ServerInfo) -> DatabaseUrl:
    url = DatabaseUrl(info.url)
    url.port, url.name = info.port, "postgres"
    return url


def _masked(url: str) -> str:
    try:
        conninfo = read(url)
    except ConfigError:
        return "(a database URL)"
    return mask(url, (conninfo.password,), conninfo.address.names)


def require_local(database: psycopg.ConnectionInfo | str, allow_remote: bool) -> None:
    """Raise ConfigError for a connection or a URL of another machine, unless `allow_remote`."""
    address: psycopg.ConnectionInfo | Address = (
        read(database).address if isinstance(database, str) else database
    )
    if not (allow_remote or (is_local(address.host) and is_local(address.hostaddr))):
        raise ConfigError(
            f"{address.host or address.hostaddr} is not this machine, and tests write before they"
            " roll back",
            hint="Tests hold locks and advance sequences. If nobody else uses this database, pass"
            " --supabase-allow-remote.",
        )


def require_embedded(allow_remote: bool) -> Steps[None]:
    """Raise ConfigError for a server that is not an embedded one, unless `allow_remote`.

    The server says so: a forwarded port has an address of this machine too.
    """
    if allow_remote:
        return
    [result] = yield [[Statement(CLUSTER_NAME)]]
    if result.answer().rows != [(MARKER,)]:
        raise ConfigError(
            "this is not an embedded server of supabase-jobs, and tests write before they roll"
            " back",
            hint="A forwarded port may lead to a database in use. If nobody else uses this one,"
            " as that of supabase start, pass --supabase-allow-remote.",
        )


def guest_header(ini: str | None, directory: Path) -> str:
    """The name of the guest header: the ini option, or the variable of the project's SQL sources;
    or `''`.
    """
    if ini:
        return ini
    variables = project.variables(load_settings(directory, {}))
    return str(variables.get(_GUEST_HEADER, ""))


@contextmanager
def _throwaway(directory: Path) -> Iterator[ServerInfo]:
    from supabase_jobs.projects.migrated import migrated_server

    files = project.loadable_files(load_settings(directory, {}))
    with ExitStack() as stack:
        try:
            info = stack.enter_context(migrated_server(directory, files))
        except (ConfigError, LocalServerError) as error:
            raise LocalServerError(
                f"no database is configured, and a throwaway server cannot start: {error.message}",
                hint=_NO_DATABASE,
            ) from None
        yield info
