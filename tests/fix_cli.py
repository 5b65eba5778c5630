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

from tests.parts import supabase_cli


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


@pytest.fixture
def supabase(tmp_path: Path) -> Run:
    """The real Supabase CLI without network access: `supabase("db", "push", …, cwd=project)`."""
    program = supabase_cli()
    home = tmp_path / "supabase-home"
    home.mkdir()
    quiet = {"SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1", "SUPABASE_NO_UPDATE_NOTIFIER": "1"}

    def run(*words: str, cwd: Path) -> Ran:
        return _run([str(program), *words], cwd, {"PATH": os.environ["PATH"], "HOME": str(home), **quiet})

    return run
