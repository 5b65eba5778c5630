"""`supabase-jobs` and `supabase db push`, run as programs in a project with the rendered
migrations.
"""

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
_SUPABASE_JOBS = Path(sys.executable).with_name("supabase-jobs")


@dataclass(frozen=True)
class CompletedCommand:
    """Exit code, stdout, and time in milliseconds."""

    code: int
    out: str
    ms: float


class Programs:
    """A temporary project with a copy of a `supabase` folder. Use as a context manager."""

    def __init__(self, supabase: Path = ROOT / "supabase") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="supabase-jobs-bench-")
        self._project = Path(self._folder.name)
        shutil.copytree(supabase, self._project / "supabase", ignore=shutil.ignore_patterns(".*"))
        home = self._project / "home"
        home.mkdir()
        # PYTHON…: with PYTHONDONTWRITEBYTECODE the program would be compiled at every start
        removed = ("PG", "SUPABASE", "GITHUB", "PYTHON")
        self._environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith(removed)},
            "HOME": str(home),
            "SUPABASE_TELEMETRY_DISABLED": "1",
            "SUPABASE_NO_UPDATE_NOTIFIER": "1",
            "DO_NOT_TRACK": "1",
        }

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def write(self, name: str, text: str) -> None:
        """Write a file into the project."""
        path = self._project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def shell(self, script: str) -> CompletedCommand:
        """Run a shell script in the project; it must succeed."""
        return self._run("/bin/sh", "-euc", script)

    def supabase_jobs(self, *words: str, url: str | None = None) -> CompletedCommand:
        """Run `supabase-jobs` with these arguments."""
        return self._run(str(_SUPABASE_JOBS), *words, *(("--db-url", url) if url else ()))

    def db_push(self, url: str) -> CompletedCommand:
        """Run `supabase db push` of version 3 of the CLI, without its Node wrapper, which would add
        to the time.
        """
        return self._run(str(_supabase()), "db", "push", "--yes", f"--remote={url}?sslmode=disable")

    def _run(self, *words: str) -> CompletedCommand:
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
        ms = (time.perf_counter() - started) * 1000
        if done.returncode > 1:  # 1 is a negative result
            raise click.ClickException(
                f"{' '.join(words[:2])} exited {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return CompletedCommand(done.returncode, done.stdout, ms)


def _supabase() -> Path:
    """The binary of the Supabase CLI that `npm ci` installs in tests/."""
    program = NODE_MODULES / "supabase-v3" / "bin" / "supabase"
    if not program.is_file():
        raise click.ClickException(
            "the Supabase CLI is not installed; scripts/bench installs it if npm is available"
        )
    return program
