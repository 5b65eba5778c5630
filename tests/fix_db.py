"""Databases: real servers of every major version, a template once each, a copy of it for each test.

pytest-postgresql makes and drops the databases; the servers are our own (its own starter refuses root).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_postgresql import factories
from pytest_postgresql.janitor import DatabaseJanitor

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.local.platform import load_platform
from supabase_jobs.local.server import throwaway
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.settings import Settings
from supabase_jobs.sources.files import Migration, MigrationFiles, load_sources
from supabase_jobs.sources.render import render_sources, standard_migrations
from supabase_jobs.verify.expectations import load_expectations
from tests.programs import ALL_MAJORS, DEFAULT_MAJOR, EMBEDDED, MAJORS, postgres_bin


@dataclass(frozen=True)
class Server:
    """A running server, in the shape that pytest-postgresql's factories depend on."""

    host: str
    port: int
    user: str
    password: str
    major: int
    options: str = ""
    maintenance_dbname: str = "postgres"
    template_dbname: str | None = None

    def url(self, database: str, role: str = "postgres") -> str:
        """The URL of a database for a role; the superuser's has its password."""
        login = f"{role}:{self.password}" if role == self.user else role
        return f"postgresql://{login}@{self.host}:{self.port}/{database}"


EXPECTATIONS = load_expectations(Settings(Path()))


def packaged() -> list[Migration]:
    """The packaged migrations with their default variables."""
    sources = load_sources()
    return standard_migrations(sources, render_sources(sources, {}))


def _loader(work: Callable[[str, str], None]) -> Callable[..., None]:
    """Give a step of a template the superuser's URL and postgres's URL of the database it fills."""

    def load(*, host: str, port: int, user: str, dbname: str, password: str, autocommit: bool = False) -> None:
        place = f"{host}:{port}/{dbname}"
        work(f"postgresql://{user}:{password}@{place}", f"postgresql://postgres@{place}")

    return load


def own(superuser_url: str) -> None:
    """Give a copied database to postgres; a copy belongs to whoever made it."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(
            psycopg.sql.SQL("alter database {} owner to postgres").format(
                psycopg.sql.Identifier(connection.info.dbname)
            )
        )


def _platform(superuser_url: str, _url: str) -> None:
    load_platform(superuser_url, default_privileges=True)


def _bare_platform(superuser_url: str, _url: str) -> None:
    load_platform(superuser_url, default_privileges=False)


def _older_platform(superuser_url: str, _url: str) -> None:
    load_platform(superuser_url, default_privileges=True, older_image=True)


def _older_bare_platform(superuser_url: str, _url: str) -> None:
    load_platform(superuser_url, default_privileges=False, older_image=True)


def _migrations(superuser_url: str, url: str) -> None:
    own(superuser_url)
    with connect(url) as connection:
        apply_pending(connection, MigrationFiles(packaged()))


def _server(major: int) -> Any:
    @pytest.fixture(scope="session")
    def server() -> Iterator[Server]:
        with throwaway(
            major=major if major in EMBEDDED else None, postgres_bin=postgres_bin(major), platform=False
        ) as info:
            yield Server(info.host, info.port, "supabase_admin", info.superuser_password, info.major)

    return server


for _major in ALL_MAJORS:
    # server_16: it runs; platform_16: a template like a new Supabase project, bare_16: one whose default
    # privileges are off; applied_16: with our migrations; the postgresql_* are a copy for one test.
    # older_server_16, older_16, older_bare_16: the same of an older image; roles belong to the whole server
    globals()[f"server_{_major}"] = _server(_major)
    globals()[f"older_server_{_major}"] = _server(_major)
    for _name, _base, _work in (
        ("platform", "server", _platform),
        ("bare", "server", _bare_platform),
        ("applied", "platform", _migrations),
        ("older", "older_server", _older_platform),
        ("older_bare", "older_server", _older_bare_platform),
    ):
        _template = f"{_name}_{_major}"
        globals()[_template] = factories.postgresql_noproc(
            depends_on=f"{_base}_{_major}", dbname=f"test_{_template}", load=[_loader(_work)]
        )
        globals()[f"postgresql_{_template}"] = factories.postgresql(_template)


@pytest.fixture(params=MAJORS, ids=lambda major: f"pg{major}")
def each_major(request: pytest.FixtureRequest) -> int:
    """Runs a test on every supported major version, or on one of them; see `scripts/test`."""
    major: int = request.param
    return major


# For many similar tests: if catalogs differ between two versions, they rarely differ only in a version between them.
oldest_and_newest = pytest.mark.parametrize(
    "each_major", sorted({MAJORS[0], MAJORS[-1]}), indirect=True, ids=lambda major: f"pg{major}"
)


@dataclass(frozen=True)
class Database:
    """A database of one test: URLs for the role that applies migrations, and for the superuser."""

    url: str
    superuser_url: str
    server: Server
    name: str


Make = Callable[..., Database]


@pytest.fixture
def make_database(request: pytest.FixtureRequest) -> Make:
    """`make_database("platform", 17)`: a fresh copy of a template (platform, bare, applied, older, older_bare)."""

    def make(template: str, major: int = DEFAULT_MAJOR) -> Database:
        kind = "older_server" if template.startswith("older") else "server"
        server: Server = request.getfixturevalue(f"{kind}_{major}")
        copy: psycopg.Connection[Any] = request.getfixturevalue(f"postgresql_{template}_{major}")
        name = copy.info.dbname
        own(server.url(name, server.user))
        return Database(server.url(name), server.url(name, server.user), server, name)

    return make


@pytest.fixture
def platform_url(make_database: Make) -> str:
    """A Supabase-like database without our migrations."""
    return make_database("platform").url


@pytest.fixture
def applied_url(make_database: Make) -> str:
    """A Supabase-like database with our migrations."""
    return make_database("applied").url


def session_copy(
    request: pytest.FixtureRequest, prefix: str, template: str, major: int
) -> tuple[Server, DatabaseJanitor]:
    """Copy a template for the whole session; return the server, and the janitor that can drop the database."""
    server: Server = request.getfixturevalue(f"server_{major}")
    original = request.getfixturevalue(f"{template}_{major}").template_dbname
    janitor = DatabaseJanitor(
        user=server.user, host=server.host, port=server.port, password=server.password,
        dbname=f"{prefix}_{original}", template_dbname=original,
    )  # fmt: skip
    janitor.init()
    own(server.url(janitor.dbname, server.user))
    return server, janitor


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Callable[[int], str]:
    """`shared(17)`: the URL of one applied database of that version, for tests that roll everything back.

    It goes when its server goes.
    """
    made: dict[int, str] = {}

    def url(major: int) -> str:
        if major not in made:
            server, janitor = session_copy(request, "shared", "applied", major)
            made[major] = server.url(janitor.dbname)
        return made[major]

    return url


@pytest.fixture
def rolled_back(shared: Callable[[int], str], each_major: int) -> Iterator[Connection]:
    """A transaction as postgres on an applied database, on every version; undone after the test."""
    with (
        psycopg.connect(shared(each_major), autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        yield connection


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the packaged migrations as files."""
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    for migration in packaged():
        (folder / migration.file_name).write_text(migration.text, newline="")
    return folder
