"""What happens to a command whose output cannot be written, or which is told to stop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fix_db import packaged
from tests.migrations.helpers import LEDGER, rows

UNWRITABLE = 141


def run(words: list[str], cwd: Path, out: int, err: int = subprocess.PIPE) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "supabase_jobs", *words], cwd=cwd, stdout=out, stderr=err, text=True, check=False
    )
    return done.returncode, done.stderr or ""


@pytest.fixture
def nobody_reads() -> int:
    """The writing end of a pipe whose reading end is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("command", ["status", "verify", "plan"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_closed_pipe(applied_url: str, tmp_path: Path, nobody_reads: int, command: str, form: list[str]) -> None:
    code, err = run([command, *form, "--db-url", applied_url], tmp_path, nobody_reads)
    assert code == UNWRITABLE
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_a_full_disk(applied_url: str, tmp_path: Path) -> None:
    for form in ([], ["--json"]):
        full = os.open("/dev/full", os.O_WRONLY)
        code, err = run(["status", *form, "--db-url", applied_url], tmp_path, full)
        os.close(full)
        assert (code, "could not be written" in err, "Traceback" in err) == (UNWRITABLE, True, False)


def test_stdout_that_is_closed(applied_url: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "supabase_jobs", "verify", "--db-url", applied_url]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 2
    assert "stdout is closed" in done.stderr


@pytest.mark.parametrize("which", ["stdout", "stderr"])
def test_apply_goes_on_to_the_end(platform_url: str, tmp_path: Path, nobody_reads: int, which: str) -> None:
    out, err = (nobody_reads, subprocess.PIPE) if which == "stdout" else (subprocess.DEVNULL, nobody_reads)
    code, _ = run(["apply", "--db-url", platform_url], tmp_path, out, err)
    assert code == (UNWRITABLE if which == "stdout" else 0)
    assert [version for version, _, _ in rows(platform_url, LEDGER)] == [m.version for m in packaged()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_during_an_exec_ends_with_its_own_code(tmp_path: Path, number: signal.Signals) -> None:
    # as when an import makes a dataclass; after a plain KeyboardInterrupt, `python -m` ends by SIGINT
    (tmp_path / "stopped.py").write_text(f"""
from supabase_jobs import cli
cli.cli.main = lambda **_: exec("import os, time; os.kill(os.getpid(), {number:d}); time.sleep(5)")
cli.main(["demo"])
""")
    words = [sys.executable, "-m", "stopped"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, "Interrupted" in done.stderr, done.stdout) == (128 + number, True, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("after", [0.35, 0.6, 0.9])
def test_a_demo_that_is_stopped_leaves_nothing(tmp_path: Path, number: signal.Signals, after: float) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    running = subprocess.Popen(
        [sys.executable, "-m", "supabase_jobs", "demo"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(after)
    running.send_signal(number)
    _, err = running.communicate(timeout=30)
    assert running.returncode in (0, 128 + number), err
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []
