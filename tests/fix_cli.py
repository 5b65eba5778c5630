"""Fixtures that run command lines in a new process and an empty folder."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.programs import supabase_cli


@dataclass(frozen=True)
class Ran:
    """Output and exit code of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout, which must be exactly one JSON document."""
        return json.loads(self.out)


Run = Callable[..., Ran]


def _run(words: list[str], cwd: Path, environ: dict[str, str]) -> Ran:
    done = subprocess.run(
        words, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stdout + done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def cli(tmp_path: Path) -> Run:
    """`cli("apply", "--json", SUPABASE_DB_URL=url)` in an empty folder, with an empty HOME."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SUPABASE", "PG", "GITHUB"))}

    def run(*words: str, cwd: Path = tmp_path, **environ: str) -> Ran:
        return _run([sys.executable, "-m", "supabase_jobs", *words], cwd, {**kept, "HOME": str(home), **environ})

    return run


@dataclass(frozen=True)
class SupabaseCli:
    """A version of the real Supabase CLI without network access."""

    major: int
    run: Run

    def __call__(self, *words: str, url: str, cwd: Path) -> Ran:
        """Run a command on a database: `supabase("db", "push", "--yes", url=url, cwd=project)`."""
        url = f"{url}?sslmode=disable"
        return self.run(*words, *(("--db-url", url) if self.major == 2 else (f"--remote={url}",)), cwd=cwd)


@pytest.fixture
def supabase(tmp_path: Path) -> SupabaseCli:
    """Version 3 of the Supabase CLI."""
    return _supabase(3, tmp_path)


@pytest.fixture(params=[3, 2], ids=lambda major: f"cli{major}")
def each_supabase(request: pytest.FixtureRequest, tmp_path: Path) -> SupabaseCli:
    """Each major version of the Supabase CLI."""
    return _supabase(request.param, tmp_path)


def _supabase(major: int, tmp_path: Path) -> SupabaseCli:
    command = supabase_cli(major)
    home = tmp_path / "supabase-home"
    home.mkdir()
    quiet = {"SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1", "SUPABASE_NO_UPDATE_NOTIFIER": "1"}

    def run(*words: str, cwd: Path) -> Ran:
        return _run([*command, *words], cwd, {"PATH": os.environ["PATH"], "HOME": str(home), **quiet})

    return SupabaseCli(major, run)
