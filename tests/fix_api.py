"""The API as clients see it: the real PostgREST as `authenticator` on an applied database, behind /rest/v1."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from pytest_postgresql.janitor import DatabaseJanitor

from supabase import Client, ClientOptions, create_client
from supabase_jobs.api.keys import Keys
from supabase_jobs.database.connection import Connection
from supabase_jobs.local.api import service
from supabase_jobs.local.api.service import ApiInfo
from tests.fix_db import Server, own
from tests.parts import DEFAULT_MAJOR, postgrest


@dataclass(frozen=True)
class Api:
    """An API and the database behind it; `db_url` is for the role `postgres`.

    Rows that a test commits stay until the session ends: tests take ids of their own, which nobody else has.
    """

    info: ApiInfo
    db_url: str
    major: int
    http: httpx.Client
    db: Connection

    @property
    def url(self) -> str:
        """What clients are given."""
        return self.info.url

    @property
    def keys(self) -> Keys:
        """The keys, which also make users' tokens."""
        return self.info.keys

    def headers(self, *, guest: object = None, user: object = None, service: bool = False) -> dict[str, str]:
        """The headers of a guest, a user (an id, or claims with a `sub`), both at once, the service, or nobody."""
        key = self.keys.service_role if service else self.keys.anon
        sent = {"apikey": key, "Authorization": f"Bearer {key}"}
        if user is not None:
            claims = user if isinstance(user, dict) else {"sub": str(user)}
            sent["Authorization"] = f"Bearer {self.keys.user(**claims)}"
        if guest is not None:
            sent["X-Guest-Id"] = str(guest)
        return sent

    def client(self, *, guest: object = None, user: object = None, service: bool = False) -> Client:
        """A supabase-py client for a guest, a user, both at once, the service, or nobody."""
        headers = self.headers(guest=guest, user=user, service=service)
        key = headers.pop("apikey")
        return create_client(self.url, key, ClientOptions(headers=headers, httpx_client=self.http))

    def request(self, method: str, path: str, *, headers: Any = None, **more: Any) -> httpx.Response:
        """A raw request below /rest/v1, with the headers given and no others of ours."""
        return self.http.request(method, f"{self.info.rest_url}/{path}", headers=headers, **more)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement as `postgres`, past the API and its row level security, and commit it."""
        cursor = self.db.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def new_guest(self) -> uuid.UUID:
        """A guest of this test's own."""
        guest = uuid.uuid4()
        self.sql("insert into public.guest_users (guest_id) values (%s)", guest)
        return guest

    def new_user(self) -> uuid.UUID:
        """A user of this test's own, who has signed up."""
        user = uuid.uuid4()
        self.sql("insert into auth.users (id, aud, role) values (%s, 'authenticated', 'authenticated')", user)
        return user

    def new_job(self, *, guest: uuid.UUID | None = None, user: uuid.UUID | None = None, **columns: Any) -> uuid.UUID:
        """A job of a guest or a user, with more columns as keywords."""
        values = {"id": uuid.uuid4(), "url": "https://x.com/1", "guest_id": guest, "user_id": user, **columns}
        names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, values))
        marks = psycopg.sql.SQL(", ").join([psycopg.sql.Placeholder()] * len(values))
        statement = psycopg.sql.SQL("insert into public.async_jobs ({}) values ({})").format(names, marks)
        self.db.execute(statement, list(values.values()))
        job: uuid.UUID = values["id"]
        return job


def rows(response: Any) -> list[dict[str, Any]]:
    """The rows of a supabase-py response, whose own type is any JSON."""
    data: list[dict[str, Any]] = response.data
    return data


@contextmanager
def serve_api(server: Server, database: str) -> Iterator[Api]:
    """An API on a database of a test server, gone afterwards."""
    with (
        service.throwaway(server.port, database, postgrest_bin=postgrest()) as info,
        httpx.Client(timeout=30) as http,
        psycopg.connect(server.url(database), autocommit=True) as db,
    ):
        yield Api(info, server.url(database), server.major, http, db)


@pytest.fixture(scope="session")
def api_on(request: pytest.FixtureRequest) -> Iterator[Callable[[int], Api]]:
    """`api_on(17)`: the one API of this session on an applied database of that version."""
    made: dict[int, Api] = {}
    with ExitStack() as stack:

        def on(major: int) -> Api:
            if major not in made:
                server: Server = request.getfixturevalue(f"server_{major}")
                template = request.getfixturevalue(f"applied_{major}").template_dbname
                janitor = DatabaseJanitor(
                    user=server.user, host=server.host, port=server.port, password=server.password,
                    dbname=f"api_{template}", template_dbname=template,
                )  # fmt: skip
                janitor.init()
                try:
                    own(server.url(janitor.dbname, server.user))
                    made[major] = stack.enter_context(serve_api(server, janitor.dbname))
                except BaseException:  # a skip, too: the next test begins anew
                    janitor.drop()
                    raise
            return made[major]

        yield on


@pytest.fixture
def api(api_on: Callable[[int], Api], each_major: int) -> Api:
    """The API on every version."""
    return api_on(each_major)


@pytest.fixture
def one_api(api_on: Callable[[int], Api]) -> Api:
    """The API on the default version, for what does not depend on it."""
    return api_on(DEFAULT_MAJOR)
