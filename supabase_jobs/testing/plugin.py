"""The pytest plugin: options and fixtures. pytest loads it in every run, so it imports other
modules only on use.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import psycopg

    from supabase_jobs.api.endpoint import Endpoint
    from supabase_jobs.testing.rls import Rls
    from supabase_jobs.testing.rls_api import RlsApi
    from supabase_jobs.testing.rls_async import AsyncRls


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the database, of remote databases, and of the guest header."""
    group = parser.getgroup("supabase-jobs", "row level security (supabase-jobs)")
    group.addoption(
        "--supabase-db-url",
        metavar="URL",
        help="database under test; the rls fixtures roll back their "
        "changes (default: SUPABASE_DB_URL, then the ini option, then the local server of this"
        " directory, then a throwaway one)",
    )
    group.addoption(
        "--supabase-allow-remote",
        action="store_true",
        help="allow the rls fixtures to use a database on "
        "another machine; they write to it before they roll back",
    )
    parser.addini("supabase_db_url", "database under test (option --supabase-db-url)")
    parser.addini(
        "supabase_allow_remote",
        "allow a database on another machine (option --supabase-allow-remote)",
        type="bool",
        default=False,
    )
    parser.addini(
        "supabase_guest_header",
        "request header with the guest id (default: guest_header of supabase-jobs.toml)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell `mutate --run` which objects a test file uses, and follow the order that it sets."""
    # by their names: importing them from `settings` would slow every run of pytest down
    if not os.environ.keys().isdisjoint({"SUPABASE_JOBS_LEARN", "SUPABASE_JOBS_ORDER"}):
        from supabase_jobs.testing.order import register

        register(config)


def pytest_report_collectionfinish(
    config: pytest.Config, items: list[pytest.Item]
) -> str | list[str]:
    """The database under test, if a test uses it."""
    if not any("supabase_db_url" in getattr(item, "fixturenames", ()) for item in items):
        return []
    from supabase_jobs.testing.database import describe

    option = config.getoption("--supabase-db-url")
    ini = config.getini("supabase_db_url")
    return f"database under test: {describe(option, ini, config.rootpath)}"


@contextmanager
def _short_errors() -> Iterator[None]:
    """Report an error of this package as its message and hint, without a traceback."""
    from supabase_jobs.errors import SupabaseJobsError

    try:
        yield
        return
    except SupabaseJobsError as error:
        text = error.message + (f"\nhint: {error.hint}" if error.hint else "")
    pytest.fail(text, pytrace=False)


def _allow_remote(config: pytest.Config) -> bool:
    return bool(
        config.getoption("--supabase-allow-remote") or config.getini("supabase_allow_remote")
    )


def _guest_header(config: pytest.Config) -> str:
    from supabase_jobs.testing.database import guest_header

    return guest_header(config.getini("supabase_guest_header"), config.rootpath)


@pytest.fixture(scope="session")
def supabase_db_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of the database under test. Override it in conftest.py to provide one yourself.

    Default: --supabase-db-url, SUPABASE_DB_URL, the ini option supabase_db_url; otherwise the local
    server of the directory if it runs; otherwise a throwaway server (extra `local`), one per
    pytest-xdist worker, with the project's supabase/migrations.
    """
    from supabase_jobs.testing.database import database

    with _short_errors():
        option, ini = (
            pytestconfig.getoption("--supabase-db-url"),
            pytestconfig.getini("supabase_db_url"),
        )
        with database(
            option, ini, pytestconfig.rootpath, allow_remote=_allow_remote(pytestconfig)
        ) as url:
            yield url


@pytest.fixture
def rls_connection(supabase_db_url: str) -> "Iterator[psycopg.Connection[Any]]":
    """The connection of `rls`. Override it to use your own, for example from pytest-postgresql."""
    from supabase_jobs.database.connection import connect

    with _short_errors(), connect(supabase_db_url) as connection:
        yield connection


@pytest.fixture
def rls(rls_connection: "psycopg.Connection[Any]", pytestconfig: pytest.Config) -> "Iterator[Rls]":
    """Impersonate a guest, a user, the service or any role, in a transaction that is rolled back
    after the test.
    """
    with _short_errors(), _rls(rls_connection, pytestconfig) as rls:
        yield rls


@pytest.fixture(scope="module")
def rls_module(supabase_db_url: str, pytestconfig: pytest.Config) -> "Iterator[Rls]":
    """`rls` for all tests of a module: rows that are inserted once remain until its last test."""
    from supabase_jobs.database.connection import connect

    with (
        _short_errors(),
        connect(supabase_db_url) as connection,
        _rls(connection, pytestconfig) as rls,
    ):
        yield rls


def _rls(connection: "psycopg.Connection[Any]", config: pytest.Config) -> "Rls":
    from supabase_jobs.testing.rls import Rls

    return Rls(
        connection, guest_header=lambda: _guest_header(config), allow_remote=_allow_remote(config)
    )


@pytest.fixture
def rls_async(supabase_db_url: str, pytestconfig: pytest.Config) -> "AsyncRls":
    """`rls` for asyncio: `async with rls_async as rls:` connects in the event loop of the test."""
    from supabase_jobs.testing.rls_async import AsyncRls

    return AsyncRls(
        supabase_db_url,
        guest_header=lambda: _guest_header(pytestconfig),
        allow_remote=_allow_remote(pytestconfig),
    )


@pytest.fixture(scope="session")
def supabase_api(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> "Iterator[Endpoint]":
    """The API under test: SUPABASE_URL and its keys, or PostgREST on the throwaway server. Override
    it for another.
    """
    from supabase_jobs.errors import ConfigError

    with _short_errors():
        if find_spec("supabase") is None:
            raise ConfigError(
                "rls_api requires supabase-py and PyJWT", hint="pip install 'supabase-jobs[api]'"
            )
        from supabase_jobs.testing.rls_api import endpoint

        def db_url() -> str:
            url: str = request.getfixturevalue("supabase_db_url")
            return url

        with endpoint(
            db_url, pytestconfig.rootpath, allow_remote=_allow_remote(pytestconfig)
        ) as api:
            yield api


@pytest.fixture
def rls_api(
    supabase_api: "Endpoint", request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> "Iterator[RlsApi]":
    """Impersonate a guest, a user or the service over the API. Requests commit; remove rows with
    `remove_after`.
    """
    from supabase_jobs.testing.rls_api import RlsApi

    with _short_errors():
        rls_api = RlsApi(
            supabase_api,
            guest_header=lambda: _guest_header(pytestconfig),
            db_url=lambda: request.getfixturevalue("supabase_db_url"),
        )
        try:
            yield rls_api
        finally:
            rls_api.close()
