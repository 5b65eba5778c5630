"""Fixtures that run command lines in an empty folder: ours in this process or a new one, the
Supabase CLI's.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from tests.programs import SHORT_RUN, supabase_cli


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
        words,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def _run_here(words: list[str], cwd: Path, environ: dict[str, str]) -> Ran:
    """Call `main` with the environment, folder, files and signal handlers that a process of its own
    would have.
    """
    from supabase_jobs.cli import main

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in signals]
    with (
        pytest.MonkeyPatch.context() as patch,
        chdir(cwd),
        Path(os.devnull).open(encoding="utf-8") as nothing,
        TextIOWrapper(TemporaryFile(), encoding="utf-8") as out,
        TextIOWrapper(TemporaryFile(), encoding="utf-8", errors="backslashreplace") as err,
    ):
        for name in os.environ.keys() - environ.keys():
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        for stream in ("stdin", nothing), ("stdout", out), ("stderr", err):
            patch.setattr(sys, *stream)
        try:
            with pytest.raises(SystemExit) as exited:
                main(words)
        finally:
            for number, handler in zip(signals, handlers, strict=True):
                signal.signal(number, handler)
        out.seek(0)
        err.seek(0)
        assert isinstance(exited.value.code, int)
        return Ran(exited.value.code, out.read(), err.read())


def _runner(tmp_path: Path, run: Callable[[list[str], Path, dict[str, str]], Ran]) -> Run:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SUPABASE", "PG", "GITHUB"))}
    return lambda *words, cwd=tmp_path, **environ: run(
        list(words), cwd, {**kept, "HOME": str(home), **environ}
    )


def new_runner(folder: Path) -> Run:
    """The value of the fixture `cli`, for a fixture that outlives a test."""
    return _runner(folder, _run_here)


@pytest.fixture
def cli(tmp_path: Path) -> Run:
    """`cli("apply", "--json", SUPABASE_DB_URL=url)` in an empty folder, with an empty HOME.

    Runs in this process, which saves a third of a second; `cli_process` is for what a process of
    its own decides.
    """
    return new_runner(tmp_path)


@pytest.fixture
def cli_process(tmp_path: Path) -> Run:
    """The same in a new process: for threads, encodings, the interpreter's start and its end."""
    return _runner(
        tmp_path,
        lambda words, *where: _run([sys.executable, "-m", "supabase_jobs", *words], *where),
    )


@dataclass(frozen=True)
class SupabaseCli:
    """A version of the real Supabase CLI without network access."""

    major: int
    run: Run

    def __call__(self, *words: str, url: str, cwd: Path) -> Ran:
        """Run a command on a database: `supabase("db", "push", "--yes", url=url, cwd=project)`."""
        url = f"{url}?sslmode=disable"
        return self.run(
            *words, *(("--db-url", url) if self.major == 2 else (f"--remote={url}",)), cwd=cwd
        )


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
    quiet = {
        "SUPABASE_TELEMETRY_DISABLED": "1",
        "DO_NOT_TRACK": "1",
        "SUPABASE_NO_UPDATE_NOTIFIER": "1",
    }

    def run(*words: str, cwd: Path) -> Ran:
        return _run(
            [*command, *words],
            cwd,
            {"PATH": os.environ["PATH"], "HOME": str(home), **quiet, **SHORT_RUN},
        )

    return SupabaseCli(major, run)
