"""The named blocks of the pages for operators, and fixtures that run them as an operator does."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import psycopg
import pytest

from supabase_jobs.local.binaries import embedded
from tests.fix_db import Database, Make
from tests.impersonation import USER_A, insert_fixture_rows
from tests.programs import EMBEDDED, postgres_bin
from tests.sql.population import populate

PAGES = ("operations.md", "backups.md", "partitions.md")
_DOCS = Path(__file__).parents[2] / "docs"
TEXT = "".join((_DOCS / page).read_text(encoding="utf-8") for page in PAGES)
_FOUND = re.findall(
    r"^( *)<!-- ([\w: ./-]+) -->\n *```(\w+)\n(.*?)^ *```$", TEXT, flags=re.DOTALL | re.MULTILINE
)
BLOCKS = {name.removeprefix("file: "): dedent(text) for _, name, _, text in _FOUND}
LANGUAGES = {name.removeprefix("file: "): language for _, name, language, _ in _FOUND}

Shell = Callable[..., str]


def programs(major: int) -> Path:
    """The folder with psql, pg_dump and pg_restore of a version."""
    if major in EMBEDDED:
        return embedded(major).bin_dir
    found = postgres_bin(major)
    assert found is not None
    return found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """`shell(text, url, major=17, until="…")`: run a script, which must succeed; returns its
    stdout.
    """
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("SUPABASE", "PG", "GITHUB"))
    }

    def run(text: str, url: str, *, major: int = 16, cwd: Path = tmp_path, **variables: str) -> str:
        path = os.pathsep.join(
            [str(programs(major)), str(Path(sys.executable).parent), os.environ["PATH"]]
        )
        environ = {
            **environment,
            "HOME": str(home),
            "PATH": path,
            "SUPABASE_DB_URL": url,
            **variables,
        }
        done = subprocess.run(
            ["/bin/sh", "-eu", "-c", text],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def query(url: str, statements: str) -> list[tuple[Any, ...]]:
    """Run a block as postgres without a transaction, as psql does; returns the rows of the last
    statement.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statements.encode())
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []


TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
MONDAY = TODAY + timedelta(days=14 - TODAY.weekday())
NAMES = "select partition::text from private.async_jobs_partitions order by ends"
ADD = "insert into public.async_jobs (url, guest_id, created_at) values ('u', %s, %s)"

Move = Callable[..., str]


@pytest.fixture
def move(shell: Shell, tmp_path: Path) -> Move:
    """`move(url, until=MONDAY)`: run every step but the last; returns the last one."""

    def run(url: str, until: datetime = MONDAY) -> str:
        shell("supabase-jobs render", url)
        (tmp_path / "partitions").mkdir()
        for name, text in BLOCKS.items():
            if name.startswith("partitions/"):
                (tmp_path / name).write_text(text)
        shell(BLOCKS["move"], url, until=f"{until:%Y-%m-%d}")
        apply, verify = BLOCKS["apply"].splitlines()
        shell(apply, url)
        return verify

    return run


@pytest.fixture
def filled(make_database: Make) -> Database:
    """A database with guests, users and jobs."""
    return fill(make_database("applied"))


def fill(database: Database) -> Database:
    """Guests, users and jobs of every age and state."""
    with psycopg.connect(database.url) as connection:
        insert_fixture_rows(connection)
        populate(connection)
        connection.execute(
            "update public.guest_users set migrated_to_user_id = %s, migrated_at = now()", (USER_A,)
        )
    return database


def sqlstate(url: str, statement: str, *values: object) -> str | None:
    """The SQLSTATE of a statement of the owner, None if it succeeds."""
    with psycopg.connect(url) as connection:
        try:
            connection.execute(statement.encode(), values)
        except psycopg.Error as error:
            return error.sqlstate
    return None
