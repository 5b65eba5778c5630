"""Background processes: launch, recognize, stop.

They outlive the command that launches them. Each one has a path as an argument of its command line
(a data directory or a configuration file). A process id is trusted only if that process's command
line contains the path, because process ids are reused.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from supabase_jobs.errors import LocalServerError
from supabase_jobs.local.account import Account

POLL_SECONDS = 0.01
STOP_TIMEOUT = 10.0  # seconds after each signal

# The command line of a process is empty for a moment during exec, and for good in a zombie or a
# kernel thread.
_EXEC_POLLS, _EXEC_POLL_SECONDS = 50, 0.001

# The shell exits at once, so the process has no parent to wait for it, and it keeps none of our
# streams open.
_DETACHED = 'exec "$@" </dev/null >&2 & echo "$!"'


def launch(
    account: Account, command: Sequence[str | Path], log_file: Path, *, pid_file: Path | None = None
) -> int:
    """Start a program in the background as an account, with a new log file; return its process id.

    `pid_file` records the process id, so that the process is found even if we are killed right
    after the launch. Raises LocalServerError, OSError.
    """
    log_file.unlink(missing_ok=True)
    log = os.open(
        log_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
    )
    try:
        printed = account.run(
            ["/bin/sh", "-c", _DETACHED, "sh", *command], stderr=log, timeout=60
        ).stdout.strip()
    finally:
        os.close(log)
    if not printed.isdecimal():
        raise LocalServerError(
            f"{command[0]} could not be started: {read_log(log_file) or printed}"
        )
    if pid_file is not None:
        partial = pid_file.with_suffix(".pid.new")
        partial.unlink(missing_ok=True)
        partial.write_text(printed, encoding="ascii")
        partial.replace(pid_file)
    return int(printed)


def read_log(log_file: Path) -> str:
    """The output of a program since its launch."""
    try:
        return log_file.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""


def read_pid_file(pid_file: Path, path: Path) -> tuple[int | None, list[str]]:
    """The process id in the first line of a pid file, if that process is alive, and all lines of
    the file.

    `path` identifies the process. The file may belong to another account: links are not followed,
    and reading a pipe does not block.
    """
    try:
        handle = os.open(pid_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None, []
    try:
        lines = os.read(handle, 4096).decode(errors="replace").splitlines()
    except OSError:
        return None, []
    finally:
        os.close(handle)
    first = lines[0].strip() if lines else ""
    pid = int(first) if first.isdecimal() else 0
    return (pid if alive(pid, path) else None), lines


def alive(pid: int, path: Path) -> bool:
    """Whether the process runs and its command line contains the path as one argument; false for a
    zombie.
    """
    if pid < 2:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError, OverflowError):
        return False  # not one of our processes, which we have permission to signal
    return _has_argument(pid, path)


def stop(
    pid: int,
    path: Path,
    signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGKILL),
    timeout: float = STOP_TIMEOUT,
) -> bool:
    """Stop a process with one signal after the other and wait until it is gone; return whether it
    was alive.

    Raises LocalServerError if it survives the last signal for `timeout` seconds.
    """
    if not alive(pid, path):
        return False
    for number in signals:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not alive(pid, path):
                return True
            time.sleep(POLL_SECONDS)
    raise LocalServerError(f"process {pid} does not stop")


def _has_argument(pid: int, path: Path) -> bool:
    proc = Path(f"/proc/{pid}")
    try:
        for _ in range(_EXEC_POLLS):
            command_line = (proc / "cmdline").read_bytes()
            if command_line:
                return os.fsencode(path) in command_line.split(b"\0")
            if (proc / "stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X"):
                return False
            time.sleep(_EXEC_POLL_SECONDS)
    except OSError:
        return not Path("/proc/self/cmdline").exists() and _ps_shows(pid, path)
    return False


def _ps_shows(pid: int, path: Path) -> bool:
    """The same on a system without /proc (macOS), where `ps` joins the arguments with spaces."""
    shown = subprocess.run(
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    ).stdout
    return re.search(rf"(?:^| ){re.escape(str(path))}(?: |$)", shown.strip()) is not None
