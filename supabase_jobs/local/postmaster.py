"""The server process of a data directory: found through `postmaster.pid`, checked, launched, stopped.

A process id is believed only when that process's command line names the data directory: ids are used again.
"""

import os
import re
import signal
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.errors import LocalServerError

START_TIMEOUT = 120.0  # seconds; recovery after a crash can take a while
STOP_TIMEOUT = 30.0
POLL = 0.01

# an SSLRequest: the length of the message, and the number that stands for it in PostgreSQL's protocol
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@dataclass(frozen=True)
class Process:
    """A postmaster that lives."""

    pid: int
    port: int
    ready: bool


def find(data_dir: Path) -> Process | None:
    """The living server of a data directory; None when there is none. Costs two small reads."""
    lines = _read(data_dir / "postmaster.pid").splitlines()
    # pid, data directory, start time, port, socket directory, address, shared memory, status
    if len(lines) < 4 or not lines[0].strip().isdigit() or not lines[3].strip().isdigit():
        return None
    pid = int(lines[0])
    if not alive(pid, data_dir):
        return None
    return Process(pid, int(lines[3]), len(lines) > 7 and lines[7].strip() == "ready")


def alive(pid: int, data_dir: Path) -> bool:
    """Whether this process is a server of that data directory (a zombie is not)."""
    if pid < 2:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # ours we may signal: either we are root, or the server runs as us
    return str(data_dir) in _arguments(pid)


def answers(port: int) -> bool:
    """Whether something on that port speaks PostgreSQL's protocol."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(_SSL_REQUEST)
            return connection.recv(1) in (b"N", b"S")
    except OSError:
        return False


def command(postgres: Path, data_dir: Path, options: dict[str, str]) -> list[str]:
    """The command that leaves a server behind, writing to the command's stderr, and prints its process id.

    The shell goes away at once, so the server is nobody's child and holds none of our streams open.
    """
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    script = 'exec "$@" </dev/null >&2 & echo "$!"'
    return ["/bin/sh", "-c", script, "sh", str(postgres), "-D", str(data_dir), *settings]


def wait_ready(pid: int, data_dir: Path) -> Process | None:
    """Wait until the server accepts connections; None when it ended instead.

    Raises LocalServerError when it does neither in time; it is stopped then.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        found = find(data_dir)
        if found is not None and found.pid == pid and found.ready:
            return found
        if not alive(pid, data_dir):
            return None
        time.sleep(POLL)
    stop(pid, data_dir)
    raise LocalServerError(
        f"the local server did not accept connections within {START_TIMEOUT:.0f} s",
        hint="see server.log in .supabase-jobs; `supabase-jobs local reset` makes a new, empty database",
    )


def stop(pid: int, data_dir: Path) -> None:
    """Shut a server down: fast, then at once, then by force; returns when it is gone."""
    for kind, patience in (
        (signal.SIGINT, STOP_TIMEOUT),
        (signal.SIGQUIT, STOP_TIMEOUT),
        (signal.SIGKILL, STOP_TIMEOUT),
    ):
        if not alive(pid, data_dir):
            return
        os.kill(pid, kind)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not alive(pid, data_dir):
                return
            time.sleep(POLL)
    raise LocalServerError(f"the local server (process {pid}) does not end")


def stop_any(data_dir: Path) -> bool:
    """Stop the server of a data directory, if there is one; says whether there was."""
    found = find(data_dir)
    if found is None:
        return False
    stop(found.pid, data_dir)
    return True


def clear_stale(data_dir: Path) -> None:
    """Remove the pid file of a server that is gone.

    PostgreSQL itself refuses to start when the id in it has been given to another process. It still
    notices orphaned backends, by their shared memory.
    """
    if find(data_dir) is None:
        (data_dir / "postmaster.pid").unlink(missing_ok=True)


def _arguments(pid: int) -> list[str]:
    """The command line of a process, split; empty for a zombie or one that is not to be seen."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        if Path("/proc/self/cmdline").exists():
            return []
        return _arguments_by_ps(pid)
    return [os.fsdecode(part) for part in raw.split(b"\0")]


def _arguments_by_ps(pid: int) -> list[str]:
    """The same where there is no /proc (macOS); only the data directory matters to the caller."""
    import subprocess  # not needed on Linux

    shown = subprocess.run(
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    ).stdout.strip()
    match = re.search(r" -D (.+?)(?: -c |$)", shown)
    return [match[1]] if match else []


def _read(path: Path) -> str:
    """A small file that another account owns: no link is followed, no pipe waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(handle, 4096).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(handle)
