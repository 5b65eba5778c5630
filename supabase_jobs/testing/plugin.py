"""The pytest plugin: options and fixtures. pytest loads it in every run, so it imports only pytest until it is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import psycopg

    from supabase_jobs.api.endpoint import Endpoint
    from supabase_jobs.testing.api import RlsApi
    from supabase_jobs.testing.asynchronous import AsyncRls
    from supabase_jobs.testing.synchronous import Rls


def pytest_addoption(parser: pytest.Parser) -> None:
    """The database, whether it may be remote, and the guests' header."""
    group = parser.getgroup("supabase-jobs", "row level security (supabase-jobs)")
    group.addoption("--supabase-db-url", metavar="URL", help="database that the rls fixtures act on, in transactions "
                    "that they roll back; else SUPABASE_DB_URL, else the ini option, else a throwaway one")  # fmt: skip
    group.addoption("--supabase-allow-remote", action="store_true", help="let the rls fixtures write to a database "
                    "on another machine, before they roll back")  # fmt: skip
    parser.addini("supabase_db_url", "database that the rls fixtures act on (option --supabase-db-url)")
    parser.addini("supabase_allow_remote", "as --supabase-allow-remote", type="bool", default=False)
    parser.addini("supabase_guest_header", "request header with a guest's id (default: the project's guest_header)")


@contextmanager
def _failing() -> Iterator[None]:
    """Say what is wrong with the database in two lines, not in a traceback."""
    from supabase_jobs.errors import SupabaseJobsError

    try:
        yield
        return
    except SupabaseJobsError as error:
        said = error.message + (f"\nhint: {error.hint}" if error.hint else "")
    pytest.fail(said, pytrace=False)


def _allow_remote(config: pytest.Config) -> bool:
    return bool(config.getoption("--supabase-allow-remote") or config.getini("supabase_allow_remote"))


def _guest_header(config: pytest.Config) -> str:
    from supabase_jobs.testing.target import guest_header

    return guest_header(config.getini("supabase_guest_header"), config.rootpath)


@pytest.fixture(scope="session")
def supabase_db_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of the database under test. Override it in conftest.py to name, or make, one yourself.

    Default: --supabase-db-url, SUPABASE_DB_URL, the ini option supabase_db_url; where none is given, a throwaway
    server (extra `local`), one a pytest-xdist worker, with the project's supabase/migrations.
    """
    from supabase_jobs.testing.target import database

    with _failing():
        given = pytestconfig.getoption("--supabase-db-url"), pytestconfig.getini("supabase_db_url")
        with database(*given, pytestconfig.rootpath, allow_remote=_allow_remote(pytestconfig)) as url:
            yield url


@pytest.fixture
def rls_connection(supabase_db_url: str) -> "Iterator[psycopg.Connection[Any]]":
    """The connection that `rls` works on. Override it to hand over one of your own, from pytest-postgresql say."""
    from supabase_jobs.database.connection import connect

    with _failing(), connect(supabase_db_url) as connection:
        yield connection


@pytest.fixture
def rls(rls_connection: "psycopg.Connection[Any]", pytestconfig: pytest.Config) -> "Iterator[Rls]":
    """Act as a guest, a user, the service or any role, in a transaction that is rolled back after the test."""
    from supabase_jobs.testing.synchronous import Rls

    with (
        _failing(),
        Rls(
            rls_connection, guest_header=lambda: _guest_header(pytestconfig), allow_remote=_allow_remote(pytestconfig)
        ) as session,
    ):
        yield session


@pytest.fixture
def rls_async(supabase_db_url: str, pytestconfig: pytest.Config) -> "AsyncRls":
    """The same for asyncio: `async with rls_async as rls:` connects in the test's own event loop."""
    from supabase_jobs.testing.asynchronous import AsyncRls

    return AsyncRls(
        supabase_db_url, guest_header=lambda: _guest_header(pytestconfig), allow_remote=_allow_remote(pytestconfig)
    )


@pytest.fixture(scope="session")
def supabase_api(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> "Iterator[Endpoint]":
    """The API under test: SUPABASE_URL and its keys, or PostgREST on the throwaway server. Override it to name one."""
    from supabase_jobs.errors import ConfigError

    with _failing():
        if find_spec("supabase") is None:
            raise ConfigError("rls_api needs supabase-py and PyJWT", hint="pip install 'supabase-jobs[api]'")
        from supabase_jobs.testing.api import found

        def db_url() -> str:
            url: str = request.getfixturevalue("supabase_db_url")
            return url

        with found(db_url, pytestconfig.rootpath, allow_remote=_allow_remote(pytestconfig)) as target:
            yield target


@pytest.fixture
def rls_api(
    supabase_api: "Endpoint", request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> "Iterator[RlsApi]":
    """Act as a guest, a user or the service over the API. What is written stays; see its `remove_after`."""
    from supabase_jobs.testing.api import RlsApi

    with _failing():
        session = RlsApi(
            supabase_api,
            guest_header=lambda: _guest_header(pytestconfig),
            db_url=lambda: request.getfixturevalue("supabase_db_url"),
        )
        try:
            yield session
        finally:
            session.close()
