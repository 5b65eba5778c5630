"""Commands whose output cannot be written, and commands that are stopped by a signal."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.fix_cli import Run
from tests.fix_db import packaged
from tests.migrations.helpers import LEDGER, rows

UNWRITABLE = 141


def run(words: list[str], cwd: Path, out: int, err: int = subprocess.PIPE) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "supabase_jobs", *words],
        cwd=cwd,
        stdout=out,
        stderr=err,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr or ""


@pytest.fixture
def closed_pipe() -> int:
    """The write end of a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("command", ["status", "verify --only structure", "plan"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_closed_pipe_ends_the_command_without_a_traceback(
    applied_url: str, tmp_path: Path, closed_pipe: int, command: str, form: list[str]
) -> None:
    code, err = run([*command.split(), *form, "--db-url", applied_url], tmp_path, closed_pipe)
    assert code == UNWRITABLE
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_a_full_disk_is_reported(applied_url: str, tmp_path: Path) -> None:
    for form in ([], ["--json"]):
        full = os.open("/dev/full", os.O_WRONLY)
        code, err = run(["status", *form, "--db-url", applied_url], tmp_path, full)
        os.close(full)
        assert (code, "could not be written" in err, "Traceback" in err) == (
            UNWRITABLE,
            True,
            False,
        )


def test_a_closed_stdout_is_a_configuration_error(applied_url: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "supabase_jobs", "verify", "--db-url", applied_url]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "stdout is closed" in done.stderr


def test_a_command_works_with_a_closed_stderr(platform_url: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "supabase_jobs", "apply", "--json", "--db-url"]
    for url, code in ((platform_url, 0), ("nonsense", 2)):
        done = subprocess.run(
            ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *words, url],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            check=False,
        )
        assert (done.returncode, "error" in json.loads(done.stdout)) == (code, code != 0)
    closed = ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", *words, platform_url]
    both = subprocess.run(closed, cwd=tmp_path, check=False)
    assert both.returncode == 2


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "audit",
        "demo",
        "render",
        "local start",
        "local status",
        "mutate --run true",
        "plan --json",
    ],
)
def test_a_deleted_working_directory_is_an_error(tmp_path: Path, command: str) -> None:
    words = [sys.executable, "-m", "supabase_jobs", *command.split()]
    (tmp_path / "gone").mkdir()
    delete = 'cd gone && rmdir ../gone && exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", delete, "sh", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the current directory does not exist" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_unexpected_error_of_the_system_is_no_traceback(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "cwd", Mock(side_effect=PermissionError(13, "Permission denied")))
    ran = cli("render")
    assert (ran.code, "unexpected PermissionError" in ran.err) == (2, True)


@pytest.mark.parametrize("which", ["stdout", "stderr"])
def test_apply_finishes_without_a_reader(
    platform_url: str, tmp_path: Path, closed_pipe: int, which: str
) -> None:
    out, err = (
        (closed_pipe, subprocess.PIPE) if which == "stdout" else (subprocess.DEVNULL, closed_pipe)
    )
    code, _ = run(["apply", "--db-url", platform_url], tmp_path, out, err)
    assert code == (UNWRITABLE if which == "stdout" else 0)
    assert [version for version, _, _ in rows(platform_url, LEDGER)] == [
        m.version for m in packaged()
    ]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
def test_a_signal_during_exec_results_in_its_exit_code(
    tmp_path: Path, number: signal.Signals
) -> None:
    # a dataclass calls exec() on import; after a plain KeyboardInterrupt from it, `python -m` ends
    # by SIGINT
    (tmp_path / "stopped.py").write_text(f"""
from supabase_jobs import cli
cli.cli.main = lambda **_: exec("import os, time; os.kill(os.getpid(), {number:d}); time.sleep(5)")
cli.main(["demo"])
""")
    words = [sys.executable, "-m", "stopped"]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, "Interrupted" in done.stderr, done.stdout) == (128 + number, True, "")


def test_a_signal_during_a_callback_is_not_lost(tmp_path: Path) -> None:
    # Python prints an exception from __del__ or from the callback of a weak reference, and goes on
    (tmp_path / "stopped.py").write_text("""
import os, signal, time
from supabase_jobs import cli

class Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)  # the handler runs in this method

def work(**_):
    Closing()
    time.sleep(20)

cli.cli.main = work
cli.main(["demo"])
""")
    words = [sys.executable, "-m", "stopped"]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "")
    assert done.stderr.splitlines() == ["Interrupted; uncommitted changes were rolled back."]


def test_a_signal_during_the_imports_ends_the_process(root: Path, tmp_path: Path) -> None:
    program = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == "supabase_jobs.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
import {module}
{module}.{function}()
"""
    script = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"][
        "supabase-jobs"
    ]
    module, _, function = script.partition(":")
    words = [sys.executable, "-c", program.format(module=module, function=function)]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has installed a handler for a signal."""
    caught = re.search(
        r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), flags=re.MULTILINE
    )
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


# each signal and each moment once; together in `scripts/test --all`
STOPS = {0.1: signal.SIGINT, 0.4: signal.SIGTERM, 0.7: signal.SIGHUP}


@pytest.mark.parametrize(
    ("after", "number"),
    [
        pytest.param(
            after,
            number,
            id=f"{after}-{number.name}",
            marks=() if number == quick else pytest.mark.slow,
        )
        for after, quick in STOPS.items()
        for number in STOPS.values()
    ],
)
def test_a_stopped_demo_leaves_no_files(
    tmp_path: Path, after: float, number: signal.Signals
) -> None:
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
    # Python itself handles SIGINT; the program installs all handlers together
    while not handles(running.pid, signal.SIGTERM if number == signal.SIGINT else number):
        time.sleep(0.01)
    time.sleep(after)
    running.send_signal(number)
    _, err = running.communicate(timeout=30)
    assert running.returncode in (0, 128 + number), err
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), "audit.toml:2: unknown key 'fly'"),
        (("--baseline", "access.toml"), "access.toml:1: unknown key 'acces'"),
        (("--baseline", "broken.toml"), "broken.toml is not valid TOML: "),
        (("--baseline", "nope.toml"), "cannot read nope.toml: No such file or directory"),
    ],
)
def test_error_names_its_file_once(
    cli: Run, tmp_path: Path, words: tuple[str, ...], error: str
) -> None:
    (tmp_path / "supabase").mkdir()
    (tmp_path / "supabase" / "audit.toml").write_text("\nfly = 1\n")
    (tmp_path / "access.toml").write_text("[acces]\n")
    (tmp_path / "broken.toml").write_text("[")
    ran = cli("audit", *words)
    assert ran.code == 2
    first = ran.err.splitlines()[0]
    assert error in first
    assert first.count(".toml") == 1


def test_an_error_names_its_file_once(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "supabase-jobs.toml").write_text('[allowed_bypasses."x"]\nreason = 1\n')
    ran = cli("render", "--out", "out")
    assert ran.err.startswith(
        f"error: {tmp_path}/supabase-jobs.toml:2: allowed_bypasses: 'x': 'reason' needs a reason\n"
    )


def test_a_settings_file_may_have_a_byte_order_mark(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "supabase-jobs.toml").write_bytes(
        b"\xef\xbb\xbf[variables]\r\nretention_days = 9\r\n"
    )
    ran = cli("render", "--out", "out")
    assert (ran.code, len(list((tmp_path / "out").glob("*.sql")))) == (0, 6), ran.err
