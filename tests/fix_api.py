"""Fixtures of the REST API: the real PostgREST with the role `authenticator` on an applied
database.

pytest loads this module in every run, so it imports the HTTP clients only on use: they take half a
second.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from supabase_jobs.api.keys import Keys
from supabase_jobs.database.connection import Connection
from supabase_jobs.local.api import service
from supabase_jobs.local.api.service import ApiInfo
from tests.fix_db import Server, session_copy
from tests.programs import DEFAULT_MAJOR, postgrest

if TYPE_CHECKING:
    import httpx

    from supabase import Client


@dataclass(frozen=True)
class Api:
    """An API and its database; `db_url` has the role `postgres`.

    Committed rows stay until the end of the session, so every test uses new ids.
    """

    info: ApiInfo
    db_url: str
    major: int
    http: "httpx.Client"
    db: Connection

    @property
    def url(self) -> str:
        """The URL of the project, without /rest/v1."""
        return self.info.url

    @property
    def keys(self) -> Keys:
        """The keys, which also sign tokens of users."""
        return self.info.keys

    def headers(
        self, *, guest: object = None, user: object = None, service: bool = False
    ) -> dict[str, str]:
        """The headers of a guest, a user (an id, or claims with a `sub`), both at once, the
        service, or anon.
        """
        key = self.keys.service_role if service else self.keys.anon
        headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        if user is not None:
            claims = user if isinstance(user, dict) else {"sub": str(user)}
            headers["Authorization"] = f"Bearer {self.keys.user_token(**claims)}"
        if guest is not None:
            headers["X-Guest-Id"] = str(guest)
        return headers

    def client(
        self, *, guest: object = None, user: object = None, service: bool = False
    ) -> "Client":
        """A supabase-py client for a guest, a user, both at once, the service, or anon."""
        from supabase import ClientOptions, create_client

        headers = self.headers(guest=guest, user=user, service=service)
        key = headers.pop("apikey")
        return create_client(self.url, key, ClientOptions(headers=headers, httpx_client=self.http))

    def request(
        self, method: str, path: str, *, headers: Any = None, **more: Any
    ) -> "httpx.Response":
        """Send a raw request below /rest/v1 with only these headers."""
        return self.http.request(method, f"{self.info.rest_url}/{path}", headers=headers, **more)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement as `postgres` on a direct connection, without row level security, and
        commit it.
        """
        cursor = self.db.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def new_guest(self) -> uuid.UUID:
        """Insert a guest and return its id."""
        guest = uuid.uuid4()
        self.sql("insert into public.guest_users (guest_id) values (%s)", guest)
        return guest

    def new_user(self) -> uuid.UUID:
        """Insert a user and return its id."""
        user = uuid.uuid4()
        self.sql(
            "insert into auth.users (id, aud, role) values (%s, 'authenticated', 'authenticated')",
            user,
        )
        return user

    def new_job(
        self, *, guest: uuid.UUID | None = None, user: uuid.UUID | None = None, **columns: Any
    ) -> uuid.UUID:
        """Insert a job of a guest or a user and return its id; keywords set other columns."""
        values = {
            "id": uuid.uuid4(),
            "url": "https://x.com/1",
            "guest_id": guest,
            "user_id": user,
            **columns,
        }
        names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, values))
        placeholders = psycopg.sql.SQL(", ").join([psycopg.sql.Placeholder()] * len(values))
        statement = psycopg.sql.SQL("insert into public.async_jobs ({}) values ({})").format(
            names, placeholders
        )
        self.db.execute(statement, list(values.values()))
        job: uuid.UUID = values["id"]
        return job


def rows(response: Any) -> list[dict[str, Any]]:
    """The rows of a supabase-py response, with their type."""
    data: list[dict[str, Any]] = response.data
    return data


@contextmanager
def serve_api(server: Server, database: str) -> Iterator[Api]:
    """Run an API on a database of a test server."""
    import httpx

    with (
        service.throwaway(server.port, database, postgrest_bin=postgrest()) as info,
        httpx.Client(timeout=30) as http,
        psycopg.connect(server.url(database), autocommit=True) as db,
    ):
        yield Api(info, server.url(database), server.major, http, db)


@pytest.fixture(scope="session")
def api_on(request: pytest.FixtureRequest) -> Iterator[Callable[[int], Api]]:
    """`api_on(17)`: the API of this session on an applied database of PostgreSQL 17."""
    apis: dict[int, Api] = {}
    with ExitStack() as stack:

        def on(major: int) -> Api:
            if major not in apis:
                database = session_copy(request, "api", "applied", major)
                try:
                    apis[major] = stack.enter_context(serve_api(database.server, database.name))
                except BaseException:  # also a skip: the next test creates the database again
                    database.server.drop(database.name)
                    raise
            return apis[major]

        yield on


@pytest.fixture
def api(api_on: Callable[[int], Api], each_major: int) -> Api:
    """The API on every PostgreSQL version."""
    return api_on(each_major)


@pytest.fixture
def one_api(api_on: Callable[[int], Api]) -> Api:
    """The API on the default PostgreSQL version."""
    return api_on(DEFAULT_MAJOR)
