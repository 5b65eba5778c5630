"""Fixtures: user tables in a transaction and in a database of their own, and pytest runs in a
subprocess.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.testing import Rls
from tests.fix_db import OLDEST_AND_NEWEST, session_copy
from tests.programs import DEFAULT_MAJOR

NOTES = Path(__file__).with_name("notes.sql").read_text(encoding="utf-8")
HEADER = "X-Device"
# pytest-asyncio warns of a missing setting
LOOPS = ("-o", "asyncio_default_fixture_loop_scope=function")
# the plugins of this environment that are not ours
OTHERS = [
    plugin.name
    for plugin in entry_points(group="pytest11")
    if not plugin.value.startswith("supabase_jobs.")
]


@pytest.fixture(params=OLDEST_AND_NEWEST, ids=lambda major: f"pg{major}")
def each_major(request: pytest.FixtureRequest) -> int:
    """The assertions ask the same of every version."""
    major: int = request.param
    return major


@pytest.fixture
def rls(rolled_back: Connection) -> Iterator[Rls]:
    """The plugin's class, with the tables of notes.sql."""
    rolled_back.execute(NOTES.encode())
    with Rls(rolled_back, guest_header=HEADER) as rls:
        yield rls


@pytest.fixture(scope="session")
def notes_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with the tables of notes.sql, for runs that roll back."""
    database = session_copy(request, "notes", "platform", DEFAULT_MAJOR)
    with psycopg.connect(database.url) as connection:
        connection.execute(NOTES.encode())
    return database.url


@pytest.fixture
def count_notes(notes_url: str) -> Iterator[Callable[[], int]]:
    """Count the notes in the database; after the test it must be empty."""

    def count() -> int:
        with psycopg.connect(notes_url) as connection:
            row = connection.execute("select count(*) from public.notes").fetchone()
        assert row is not None
        number: int = row[0]
        return number

    yield count
    assert count() == 0


RunTests = Callable[..., pytest.RunResult]


@pytest.fixture
def run_tests(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RunTests:
    """`run_tests(text, "-n", "2", plugins=["xdist"], SUPABASE_DB_URL=url)`: run pytest on a file in
    a subprocess.

    Warnings are errors. Of the plugins of others it loads those that are named: together they take
    longer than a test.
    """
    for name in ("SUPABASE_DB_URL", "PYTEST_ADDOPTS", "PGPASSWORD", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def run(
        text: str, *arguments: str, plugins: Sequence[str] = (), **environ: str
    ) -> pytest.RunResult:
        pytester.makepyfile(text)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        header = (
            () if "no:supabase_jobs" in arguments else ("-o", f"supabase_guest_header={HEADER}")
        )
        unused = [name for name in OTHERS if name not in plugins]
        without = [word for name in unused for word in ("-p", f"no:{name}")]
        loops = LOOPS if "asyncio" in plugins else ()
        common = ("-W", "error", "-p", "no:cacheprovider", *header, *without, *loops)
        return pytester.run(sys.executable, "-m", "pytest", *common, *arguments)

    return run
