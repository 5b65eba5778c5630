"""Background processes: launched, recognized by a path on their command line, stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supabase_jobs.errors import LocalServerError
from supabase_jobs.local import account, process

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@contextmanager
def running(*arguments: str) -> Iterator[int]:
    with subprocess.Popen([*SLEEP, *arguments]) as child:
        try:
            yield child.pid
        finally:
            child.kill()


def test_a_launched_process_is_found_and_stopped(directory: Path) -> None:
    config, pid_file = directory / "x.conf", directory / "x.pid"
    config.touch()
    pid = process.launch(
        account.current(), ["/usr/bin/tail", "-f", config], directory / "log", pid_file=pid_file
    )
    assert process.read_pid_file(pid_file, config) == (pid, [str(pid)])
    assert process.stop(pid, config) is True
    assert process.read_pid_file(pid_file, config) == (None, [str(pid)])
    assert process.stop(pid, config) is False


def test_the_path_must_be_a_whole_argument(tmp_path: Path) -> None:
    with running(str(tmp_path / "data2"), f"-D{tmp_path / 'data'}") as pid:
        assert process.alive(pid, tmp_path / "data2")
        assert not process.alive(pid, tmp_path / "data")
        assert process.stop(pid, tmp_path / "data") is False
        os.kill(pid, 0)


def test_a_zombie_is_not_alive(tmp_path: Path) -> None:
    child = subprocess.Popen([*SLEEP, str(tmp_path)])
    assert process.alive(child.pid, tmp_path)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive(child.pid, tmp_path)
    child.wait()


@pytest.mark.parametrize("content", ["", "x", "0", "1", "-1", "9" * 30, "999999999"])
def test_an_invalid_pid_file_names_no_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "pid").write_text(content)
    assert process.read_pid_file(tmp_path / "pid", tmp_path)[0] is None


def test_links_are_not_followed_and_pipes_do_not_block(tmp_path: Path) -> None:
    with running(str(tmp_path)) as pid:
        (tmp_path / "pid").write_text(str(pid))
        assert process.read_pid_file(tmp_path / "pid", tmp_path)[0] == pid
        (tmp_path / "link").symlink_to("pid")
        assert process.read_pid_file(tmp_path / "link", tmp_path) == (None, [])
    os.mkfifo(tmp_path / "pipe")
    assert process.read_pid_file(tmp_path / "pipe", tmp_path) == (None, [])


def test_a_process_that_ignores_the_first_signal_gets_the_next(tmp_path: Path) -> None:
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(LocalServerError, match="does not stop"):
            process.stop(child.pid, tmp_path, [signal.SIGTERM], timeout=0.1)
        assert process.stop(child.pid, tmp_path, timeout=0.5) is True


def test_a_process_is_alive_from_its_launch_on(directory: Path) -> None:
    for number in range(50):
        file = directory / f"file{number}"
        file.touch()
        pid = process.launch(account.current(), ["/usr/bin/tail", "-f", file], directory / "log")
        assert process.stop(pid, file)


def test_a_program_that_does_not_exist_is_reported_in_the_log(directory: Path) -> None:
    pid = process.launch(account.current(), [directory / "missing"], directory / "log")
    deadline = time.monotonic() + 10
    while process.alive(pid, directory / "missing"):
        assert time.monotonic() < deadline
    assert "missing" in process.read_log(directory / "log")
