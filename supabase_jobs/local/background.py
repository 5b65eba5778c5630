"""Processes that outlive the command that started them: launched, recognised again, stopped.

Each is started with the path of a file of its own on its command line, its mark. A process id is believed only
when that process's command line names the mark: ids are used again.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from supabase_jobs.errors import LocalServerError
from supabase_jobs.local.account import Account

PATIENCE = 10.0  # seconds to end by itself
POLL = 0.01

# the shell goes away at once, so the process is nobody's child and holds none of our streams open
_DETACHED = 'exec "$@" </dev/null >&2 & echo "$!"'


def launch(account: Account, command: Sequence[str | Path], mark: Path, log_file: Path) -> int:
    """Start a program as an account, with a new log; returns its process id. Raises OSError.

    The id is also kept beside the mark, so that the process is found again when we are killed right afterwards.
    """
    log_file.unlink(missing_ok=True)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        printed = account.run(["/bin/sh", "-c", _DETACHED, "sh", *command], stderr=log, timeout=60).stdout.strip()
    finally:
        os.close(log)
    if not printed.isdigit():
        raise LocalServerError(f"{command[0]} could not be started: {written(log_file) or printed}")
    partial = mark.with_suffix(".pid.new")
    partial.unlink(missing_ok=True)
    partial.write_text(printed, encoding="ascii")
    partial.replace(_id_file(mark))
    return int(printed)


def find(mark: Path) -> int | None:
    """The process that was launched last with this mark, if it lives."""
    try:
        kept = _id_file(mark).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None
    return int(kept) if kept.isdecimal() and alive(int(kept), mark) else None


def clear(mark: Path) -> bool:
    """Stop the process of a mark, if it lives, and remove the mark; says whether it lived."""
    pid = find(mark)
    stopped = pid is not None and stop(pid, mark)
    _id_file(mark).unlink(missing_ok=True)
    mark.unlink(missing_ok=True)
    return stopped


def _id_file(mark: Path) -> Path:
    return mark.with_suffix(".pid")


def written(log_file: Path) -> str:
    """What a program wrote since it was launched."""
    try:
        return log_file.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""


def alive(pid: int, mark: Path) -> bool:
    """Whether this process is the one with that mark (a zombie is not)."""
    if pid < 2:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False  # ours we may signal: either we are root, or it runs as us
    return str(mark) in _command_line(pid)


def stop(pid: int, mark: Path) -> bool:
    """End a process, by force where it does not listen; returns whether it lived, once it is gone."""
    if not alive(pid, mark):
        return False
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, kind)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if not alive(pid, mark):
                return True
            time.sleep(POLL)
    raise LocalServerError(f"process {pid} does not end")


def _command_line(pid: int) -> str:
    """The command line of a process, its words parted by NUL; empty for a zombie or one that is not to be seen."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        if Path("/proc/self/cmdline").exists():
            return ""
    return subprocess.run(  # no /proc (macOS)
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    ).stdout
