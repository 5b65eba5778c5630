"""The two programs as their users run them, in a project that holds the rendered migrations."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / "tests" / "node_modules"
_OURS = Path(sys.executable).with_name("supabase-jobs")


@dataclass(frozen=True)
class Ran:
    """How a command ended, what it printed, and how long it took in milliseconds."""

    code: int
    out: str
    ms: float


class Programs:
    """A project of its own; use as a context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="supabase-jobs-bench-")
        self._project = Path(self._folder.name)
        shutil.copytree(ROOT / "supabase", self._project / "supabase", ignore=shutil.ignore_patterns(".*"))
        home = self._project / "home"
        home.mkdir()
        # PYTHON…: an installed program is compiled; with PYTHONDONTWRITEBYTECODE it would compile itself at every start
        foreign = ("PG", "SUPABASE", "GITHUB", "PYTHON")
        self._environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith(foreign)},
            "HOME": str(home),
            "SUPABASE_TELEMETRY_DISABLED": "1",
            "SUPABASE_NO_UPDATE_NOTIFIER": "1",
            "DO_NOT_TRACK": "1",
        }

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def ours(self, *words: str, url: str | None = None) -> Ran:
        """`supabase-jobs` with these words."""
        return self._run(str(_OURS), *words, *(("--db-url", url) if url else ()))

    def push(self, url: str) -> Ran:
        """`supabase db push`, without the CLI's Node wrapper, which would add to its time."""
        return self._run(str(_supabase()), "db", "push", "--yes", "--db-url", f"{url}?sslmode=disable")

    def _run(self, *words: str) -> Ran:
        started = time.perf_counter()
        done = subprocess.run(
            words,
            cwd=self._project,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        spent = (time.perf_counter() - started) * 1000
        if done.returncode > 1:  # 1: an answer that one may not like
            raise click.ClickException(f"{' '.join(words[:2])} exited {done.returncode}:\n{done.stdout}{done.stderr}")
        return Ran(done.returncode, done.stdout, spent)


def _supabase() -> Path:
    """The CLI's own binary, as `npm ci` in tests/ installs it."""
    found = sorted((NODE_MODULES / "@supabase").glob("cli-*/bin/supabase"))
    if not found:
        raise click.ClickException("the Supabase CLI is not installed; scripts/bench installs it where there is npm")
    return found[0]
