"""The real pg_cron on PostgreSQL 17, on a server of its own: it works in one database of a server
only.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.local import server
from supabase_jobs.local.server import ServerInfo
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.sources.files import MigrationFiles, load_sources
from supabase_jobs.sources.render import render_sources, standard_migrations
from tests.programs import postgres_bin, unavailable

MAJOR = 17
SETTINGS = {
    "shared_preload_libraries": "pg_cron",
    "cron.database_name": "postgres",
    "cron.host": "127.0.0.1",
    "cron.use_background_workers": "off",
}

# what a hosted project's event trigger grants after `create extension pg_cron`
_GRANTS = """
grant usage on schema cron to postgres with grant option;
grant all on all functions in schema cron to postgres with grant option;
grant all on all tables in schema cron to postgres with grant option;
revoke all on table cron.job from postgres;
grant select on table cron.job to postgres with grant option;
"""


@dataclass(frozen=True)
class Cron:
    """A server with pg_cron preloaded; `directory` is what to stop and start it by."""

    directory: Path
    info: ServerInfo

    @property
    def url(self) -> str:
        """The database as postgres."""
        return self.info.url

    def as_superuser(self, statements: str) -> None:
        """Run statements as the superuser."""
        login = f"supabase_admin:{self.info.superuser_password}"
        url = f"postgresql://{login}@{self.info.host}:{self.info.port}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statements.encode())

    def install(self, *, grants: bool = True) -> None:
        """Switch the extension on, as the dashboard does."""
        self.as_superuser("create extension pg_cron")
        if grants:
            self.as_superuser(_GRANTS)


@pytest.fixture
def cron(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cron]:
    """A server with pg_cron preloaded and the extension not created; a test's parameter may add
    settings.
    """
    found = postgres_bin(MAJOR)
    assert found is not None
    if not (found.parent / "lib" / "pg_cron.so").exists():
        unavailable(f"pg_cron is not installed for PostgreSQL {MAJOR}")
    directory = tmp_path / "cron"
    directory.mkdir()
    try:
        settings = {**SETTINGS, **getattr(request, "param", {})}
        yield Cron(directory, server.start(directory, postgres_bin=found, settings=settings))
    finally:
        server.remove(directory)


def apply(url: str, **variables: object) -> list[str]:
    """Apply the packaged migrations with these variables; the notices that came."""
    sources = load_sources()
    notices: list[str] = []
    with connect(url) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        apply_pending(
            connection,
            MigrationFiles(standard_migrations(sources, render_sources(sources, variables))),
        )
    return notices


def eventually(connection: Connection, query: str, seconds: float = 20) -> None:
    """Wait until a query says true."""
    deadline = time.monotonic() + seconds
    while connection.execute(query.encode()).fetchone() != (True,):
        assert time.monotonic() < deadline, f"not within {seconds} s: {query}"
        time.sleep(0.1)
