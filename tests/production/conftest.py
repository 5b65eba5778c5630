"""The shop in use, on a server that is not an embedded one, and the project of its migrations."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import psycopg
import pytest

from benchmarks import shop as shops
from benchmarks.independent_server import IndependentServer, independent_server
from benchmarks.shop import CLIENTS, Observation, Shop
from supabase_jobs.database.connection import connect
from supabase_jobs.local.platform import load_platform, load_services
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.migrations.extensions import prepare, superuser_statements
from supabase_jobs.sources.files import MigrationFiles, load_migrations
from tests.programs import postgres_bin

# with contrib, for dblink; as new hosted projects
MAJOR = 17
# nothing but a session writes: no autovacuum, no checkpoint, no snapshot for standbys
QUIET = {
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@pytest.fixture(scope="session")
def independent() -> Iterator[Callable[[int], IndependentServer]]:
    """`independent(17)`: a server of that version, with the platform in the database `platform`."""
    made: dict[int, IndependentServer] = {}
    with ExitStack() as stack:

        def server(major: int) -> IndependentServer:
            if major not in made:
                made[major] = stack.enter_context(
                    independent_server(major, postgres_bin(major), QUIET)
                )
                _load(made[major])
            return made[major]

        yield server


def _load(server: IndependentServer) -> None:
    with psycopg.connect(server.superuser_url("template1"), autocommit=True) as connection:
        connection.execute("create database platform")
    load_platform(server.superuser_url("platform"), default_privileges=True)
    load_services(server.superuser_url("platform"))


_numbers = count()


@pytest.fixture(scope="session")
def migrated(
    independent: Callable[[int], IndependentServer],
) -> Callable[[int, Path], tuple[IndependentServer, str]]:
    """`migrated(17, folder)`: a server, and the name of a database with the migrations of a project."""

    def make(major: int, folder: Path) -> tuple[IndependentServer, str]:
        server = independent(major)
        return server, migrate(server, folder)

    return make


def migrate(server: IndependentServer, folder: Path) -> str:
    """Create a database with the migrations of a project, as `postgres`; returns its name."""
    name = f"project_{next(_numbers)}"
    with psycopg.connect(server.superuser_url("template1"), autocommit=True) as connection:
        connection.execute(f"create database {name} template platform owner postgres".encode())
    files = MigrationFiles(load_migrations(folder / "supabase" / "migrations"))
    with connect(server.superuser_url(name)) as superuser, superuser_statements(superuser):
        prepared = prepare(superuser, files)
        with connect(server.url(name)) as connection:
            apply_pending(connection, prepared.files)
    return name


@pytest.fixture(scope="session")
def shop(independent: Callable[[int], IndependentServer]) -> Shop:
    """The shop with few rows; commands leave its rows, and clients add some."""
    return shops.create(independent(MAJOR))


@pytest.fixture(scope="session")
def calm(shop: Shop) -> Observation:
    """The clients alone."""
    with shop.observed(clients=CLIENTS) as seen:
        seen.wait(2)
    assert seen.errors == []
    return seen


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the migrations of the shop and a pending one."""
    folder = tmp_path / "project"
    shops.write_project(folder, pending=True)
    return folder
