"""What docs/operations.md tells an operator to run, by name, and a way to run it as one does."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import psycopg
import pytest

from supabase_jobs.local.binaries import embedded
from tests.parts import EMBEDDED, postgres_bin

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
_FOUND = re.findall(r"^( *)<!-- ([\w: ./-]+) -->\n *```(\w+)\n(.*?)^ *```$", TEXT, flags=re.DOTALL | re.MULTILINE)
BLOCKS = {name.removeprefix("file: "): dedent(text) for _, name, _, text in _FOUND}
LANGUAGES = {name.removeprefix("file: "): language for _, name, language, _ in _FOUND}

Shell = Callable[..., str]


def programs(major: int) -> Path:
    """The folder of a version's psql, pg_dump and pg_restore."""
    if major in EMBEDDED:
        return embedded(major).bin_dir
    found = postgres_bin(major)
    assert found is not None
    return found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """`shell(text, url, major=17, until="…")`: a script's stdout, with programs of that version; it has to succeed."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SUPABASE", "PG", "GITHUB"))}

    def run(text: str, url: str, *, major: int = 16, cwd: Path = tmp_path, **variables: str) -> str:
        path = os.pathsep.join([str(programs(major)), str(Path(sys.executable).parent), os.environ["PATH"]])
        environ = {**kept, "HOME": str(home), "PATH": path, "SUPABASE_DB_URL": url, **variables}
        done = subprocess.run(
            ["/bin/sh", "-eu", "-c", text], cwd=cwd, env=environ, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def query(url: str, statements: str) -> list[tuple[Any, ...]]:
    """Run a block as postgres, outside a transaction, as psql does; the rows of its last statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statements.encode())
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []
