"""Databases: real servers of every major version, a template once each, a copy of it for each test."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.local import server as local_server
from supabase_jobs.local.platform import load_platform, load_services
from supabase_jobs.local.server import throwaway
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.settings import Settings
from supabase_jobs.sources.files import Migration, MigrationFiles, load_sources
from supabase_jobs.sources.render import render_sources, standard_migrations
from supabase_jobs.verify.expectations import load_expectations
from tests.programs import ALL_MAJORS, DEFAULT_MAJOR, EMBEDDED, MAJORS, postgres_bin


@dataclass(frozen=True)
class Server:
    """A running server, with a connection of the superuser that creates and drops databases."""

    host: str
    port: int
    user: str
    password: str
    major: int
    admin: Connection

    def url(self, database: str, role: str = "postgres") -> str:
        """The URL of a database for a role; the superuser's has its password."""
        login = f"{role}:{self.password}" if role == self.user else role
        return f"postgresql://{login}@{self.host}:{self.port}/{database}"

    def create(self, database: str, template: str, *, owner: str = "postgres") -> None:
        """Copy a database, from which nobody may be connected."""
        names = map(psycopg.sql.Identifier, (database, template, owner))
        self.admin.execute(
            psycopg.sql.SQL("create database {} template {} owner {} strategy file_copy").format(
                *names
            )
        )

    def drop(self, database: str) -> None:
        """Drop a database and the connections to it."""
        self.admin.execute(
            psycopg.sql.SQL("drop database if exists {} with (force)").format(
                psycopg.sql.Identifier(database)
            )
        )


@dataclass(frozen=True)
class Database:
    """A database of a server: URLs for the role that applies migrations, and for the superuser."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        """The URL for the role `postgres`."""
        return self.server.url(self.name)

    @property
    def superuser_url(self) -> str:
        """The URL for the superuser."""
        return self.server.url(self.name, self.server.user)


EXPECTATIONS = load_expectations(Settings(Path()))


def packaged() -> list[Migration]:
    """The packaged migrations with their default variables."""
    sources = load_sources()
    return standard_migrations(sources, render_sources(sources, {}))


def _migrations(database: Database) -> None:
    with connect(database.url) as connection:
        apply_pending(connection, MigrationFiles(packaged()))


# template → the template that it starts from, and what it adds: a new Supabase project; one whose
# default privileges are off; one with the schemas of Storage and other services; one with our
# migrations; the first two of an older image
TEMPLATES: dict[str, tuple[str, Callable[[Database], None]]] = {
    "platform": ("template1", lambda d: load_platform(d.superuser_url, default_privileges=True)),
    "services": ("platform", lambda d: load_services(d.superuser_url)),
    "bare": ("template1", lambda d: load_platform(d.superuser_url, default_privileges=False)),
    "applied": ("platform", _migrations),
    "older": (
        "template1",
        lambda d: load_platform(d.superuser_url, default_privileges=True, older_image=True),
    ),
    "older_bare": (
        "template1",
        lambda d: load_platform(d.superuser_url, default_privileges=False, older_image=True),
    ),
}


def _server(major: int) -> Any:
    @pytest.fixture(scope="session")
    def server() -> Iterator[Server]:
        with (
            throwaway(
                major=major if major in EMBEDDED else None,
                postgres_bin=postgres_bin(major),
                platform=False,
                settings={"max_wal_size": "128MB"},
            ) as info,
            psycopg.connect(info.superuser_url, autocommit=True) as admin,
        ):
            yield Server(
                info.host, info.port, "supabase_admin", info.superuser_password, info.major, admin
            )

    return server


def _template(name: str, major: int) -> Any:
    base, fill = TEMPLATES[name]

    @pytest.fixture(scope="session")
    def template(request: pytest.FixtureRequest) -> Database:
        if base in TEMPLATES:
            original: Database = request.getfixturevalue(f"{base}_{major}")
            database = Database(original.server, name)
            database.server.create(name, original.name)
        else:
            database = Database(request.getfixturevalue(_server_of(name, major)), name)
            database.server.create(name, base, owner=database.server.user)
        fill(database)
        return database

    return template


def _server_of(template: str, major: int) -> str:
    """The fixture with the server of a template; roles belong to the whole server, and an older
    image has others.
    """
    return f"{'older_server' if template.startswith('older') else 'server'}_{major}"


for _major in ALL_MAJORS:
    # server_16 and older_server_16 run; platform_16, applied_16, … are the templates
    globals()[f"server_{_major}"] = _server(_major)
    globals()[f"older_server_{_major}"] = _server(_major)
    for _name in TEMPLATES:
        globals()[f"{_name}_{_major}"] = _template(_name, _major)


@pytest.fixture(params=MAJORS, ids=lambda major: f"pg{major}")
def each_major(request: pytest.FixtureRequest) -> int:
    """Runs a test on every supported major version, or on one of them; see `scripts/test`."""
    major: int = request.param
    return major


# For many similar tests: if catalogs differ between two versions, they rarely differ only in a
# version between them.
OLDEST_AND_NEWEST = sorted({MAJORS[0], MAJORS[-1]})
oldest_and_newest = pytest.mark.parametrize(
    "each_major", OLDEST_AND_NEWEST, indirect=True, ids=lambda major: f"pg{major}"
)
# for tests in folders and modules whose tests run on fewer versions
every_major = pytest.mark.parametrize(
    "each_major", MAJORS, indirect=True, ids=lambda major: f"pg{major}"
)


def major_of(number: int) -> int:
    """The version for the case of this number, each in turn: for cases that are alike on all
    versions.
    """
    return MAJORS[number % len(MAJORS)]


def on_one_major_each(
    name: str, cases: Sequence[object], ids: Sequence[str]
) -> pytest.MarkDecorator:
    """Parametrize a test: each case runs on one version, each in turn."""
    values = [
        pytest.param(major_of(number), case, id=f"pg{major_of(number)}-{id}")
        for number, (case, id) in enumerate(zip(cases, ids, strict=True))
    ]
    return pytest.mark.parametrize(("each_major", name), values, indirect=["each_major"])


def first_on_each_major(names: str, cases: Sequence[tuple[object, ...]]) -> pytest.MarkDecorator:
    """Parametrize a test: the first case runs on every version, the others, in which versions are
    alike, on one.
    """
    return pytest.mark.parametrize(
        f"each_major, {names}",
        [
            pytest.param(major, *case, id=f"pg{major}-{'-'.join(map(str, case))}")
            for number, case in enumerate(cases)
            for major in (MAJORS if number == 0 else (DEFAULT_MAJOR,))
        ],
        indirect=["each_major"],
    )


def session_copy(
    request: pytest.FixtureRequest, prefix: str, template: str, major: int
) -> Database:
    """A copy of a template, which goes when its server goes; its name starts with the prefix. A
    process that had no test for a moment begins its fixtures again, on the same server.
    """
    original: Database = request.getfixturevalue(f"{template}_{major}")
    database = Database(original.server, f"{prefix}_{template}_{major}")
    database.server.drop(database.name)
    database.server.create(database.name, original.name)
    return database


Make = Callable[..., Database]


@pytest.fixture
def make_database(request: pytest.FixtureRequest) -> Iterator[Make]:
    """`make_database("platform", 17)`: this test's copy of a template (platform, bare, applied,
    older, older_bare).
    """
    made: dict[tuple[str, int], Database] = {}

    def make(template: str, major: int = DEFAULT_MAJOR) -> Database:
        if (template, major) not in made:
            made[template, major] = session_copy(request, "test", template, major)
        return made[template, major]

    yield make
    for database in made.values():
        database.server.drop(database.name)


@pytest.fixture
def platform_url(make_database: Make) -> str:
    """A Supabase-like database without our migrations."""
    return make_database("platform").url


@pytest.fixture
def applied_url(make_database: Make) -> str:
    """A Supabase-like database with our migrations."""
    return make_database("applied").url


@pytest.fixture(scope="session")
def shared(shared_database: Callable[[int], Database]) -> Callable[[int], str]:
    """`shared(17)`: the URL of one applied database of that version, for tests that roll everything
    back.
    """
    return lambda major: shared_database(major).url


@pytest.fixture(scope="session")
def shared_database(request: pytest.FixtureRequest) -> Callable[[int], Database]:
    """`shared_database(17)`: the database of `shared(17)`. It goes when its server goes."""
    made: dict[int, Database] = {}

    def database(major: int) -> Database:
        if major not in made:
            made[major] = session_copy(request, "shared", "applied", major)
        return made[major]

    return database


Session = Callable[[str], Connection]


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """`session(url)`: a connection that tests use one after another, because a new one first reads
    the catalogs.

    Each leaves it as it was. Statements are not prepared, because the tables that they name may be
    others in each test.
    """
    opened: dict[str, Connection] = {}

    def connection(url: str) -> Connection:
        found = opened.get(url)
        if found is None or found.closed or found.info.transaction_status != TransactionStatus.IDLE:
            opened[url] = found = psycopg.connect(url, autocommit=True)
            found.prepare_threshold = None
        return found

    yield connection
    for found in opened.values():
        found.close()


@pytest.fixture
def rolled_back(
    shared: Callable[[int], str], each_major: int, session: Session
) -> Iterator[Connection]:
    """A transaction as postgres on an applied database, on every version; undone after the test."""
    connection = session(shared(each_major))
    with connection.transaction(force_rollback=True):
        yield connection


@pytest.fixture
def as_postgres(
    shared_database: Callable[[int], Database], each_major: int, session: Session
) -> Iterator[Connection]:
    """The same as `rolled_back`, of a superuser's session: `reset session authorization` ends the
    role postgres.
    """
    connection = session(shared_database(each_major).superuser_url)
    with connection.transaction(force_rollback=True):
        connection.execute("set local session authorization postgres")
        yield connection


@contextmanager
def superuser_session(database: Database) -> Iterator[Connection]:
    """A transaction of a superuser as postgres, in a new session, without request settings; rolled
    back at the end.
    """
    with (
        psycopg.connect(database.superuser_url, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute("set local session authorization postgres")
        yield connection


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the packaged migrations as files."""
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    for migration in packaged():
        (folder / migration.file_name).write_text(migration.text, newline="")
    return folder


@pytest.fixture
def embedded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands without a database use a new one of the session's server: starting a server takes
    two seconds.
    """
    template: Database = request.getfixturevalue(f"platform_{DEFAULT_MAJOR}")
    numbers = count()

    @contextmanager
    def throwaway(**_version: object) -> Iterator[SimpleNamespace]:
        made = Database(template.server, f"embedded_{next(numbers)}")
        made.server.create(made.name, template.name)
        try:
            yield SimpleNamespace(
                url=made.url,
                own_url=made.superuser_url,
                url_for=made.server.url,
                own_url_for=lambda name: made.server.url(name, made.server.user),
            )
        finally:
            made.server.drop(made.name)
            made.server.drop(f"{made.name}_before")

    monkeypatch.setattr(local_server, "throwaway", throwaway)
