"""PostgreSQL's data directory and its server process: initdb, start, find, stop, and hints for
their errors.
"""

import os
import re
import shutil
import signal
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.errors import LocalServerError
from supabase_jobs.local import ports, process
from supabase_jobs.local.account import Account
from supabase_jobs.local.binaries import Binaries
from supabase_jobs.local.directory import ServerDirectory
from supabase_jobs.local.embedded import MARKER
from supabase_jobs.local.ports import HOST

# the superuser of a Supabase project, and of the servers that stand in for one
SUPERUSER = "supabase_admin"
START_TIMEOUT = 120.0  # seconds; recovery after a crash can take a while
STOP_TIMEOUT = 30.0  # seconds after each signal

# The superuser can run programs as the server's account. It needs its password, so that other users
# of the machine cannot connect as superuser. The other roles need none; connections from elsewhere
# are rejected.
_HBA = """\
# written by supabase-jobs: this computer only
host  all  {superuser}  {host}/32  scram-sha-256
host  all  all  {host}/32  trust
"""

# Speed over durability. The embedded versions have no `jit`; those of a system would take ten times
# as long to compile a catalog query as to run it. Failed statements are not logged, because they
# can contain the secret of a guest.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "logical",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_min_error_statement": "panic",
    "cluster_name": MARKER,
}

# fast shutdown, immediate shutdown, kill
_STOP_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)

# SSLRequest: the length of the message, then its code
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)

_HINTS = (
    ("Check free disk space", "free some space on that disk, then start again"),
    ("No space left on device", "free some space on that disk, then start again"),
    ("Disk quota exceeded", "free some of your disk quota, then start again"),
    ("Read-only file system", "work in a directory that you can write to"),
    ("shared memory", "give the container more shared memory (/dev/shm), then start again"),
    (
        "could not look up effective user",
        "add an entry for this user id to /etc/passwd, or run the command as another user",
    ),
    ("Permission denied", "allow the server's user to read and write its data directory"),
    (
        "could not access file",
        "remove the missing library from shared_preload_libraries, or install it",
    ),
    (
        "incompatible with server",
        "`supabase-jobs local reset` makes a new, empty database of this version",
    ),
)

# the server's prefix of each log line: time and process id
_LOG_PREFIX = re.compile(r"[\d-]+ [\d:.]+ UTC \[\d+\] ")


class PortInUseError(Exception):
    """Another program listens on the port."""


@dataclass(frozen=True)
class Postmaster:
    """The process of a running server."""

    pid: int
    port: int
    ready: bool


def initialize(
    directory: ServerDirectory,
    home: Path,
    binaries: Binaries,
    account: Account,
    *,
    superuser: str,
    password: str,
) -> Path:
    """Create the data directory `home/data` and return it. The caller removes it after an error.

    Raises LocalServerError with the output of initdb, OSError.
    """
    data_dir = home / "data"
    data_dir.mkdir(mode=0o700)
    account.make_owner(data_dir)
    password_file = home / "password"
    password_file.unlink(missing_ok=True)
    handle = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(password + "\n")
        account.make_owner(password_file)
        printed = ""
        for locale in ("C.UTF-8", "C"):  # some systems lack the first
            status, printed = _initdb(data_dir, binaries, account, superuser, password_file, locale)
            if status == 0:
                break
            if "invalid locale name" not in printed:
                raise _failure("initdb failed", printed)
        else:
            raise _failure("initdb failed", printed)
    finally:
        password_file.unlink(missing_ok=True)
    account.write(data_dir / "pg_hba.conf", _HBA.format(superuser=superuser, host=HOST))
    directory.log_file.unlink(missing_ok=True)
    return data_dir


def start(
    directory: ServerDirectory,
    data_dir: Path,
    binaries: Binaries,
    account: Account,
    *,
    port: int | None,
    preferred: int | None,
    settings: Mapping[str, str],
) -> Postmaster:
    """Start the server of a data directory on `port`, or else on a free port (`preferred` if it is
    free).

    Raises ConfigError if `port` is in use, LocalServerError if the server does not start.
    """
    _remove_stale_pid_file(data_dir)
    for attempt in range(10):
        usable = preferred if attempt == 0 and preferred and ports.is_free(preferred) else None
        candidate = port or usable or ports.free_ports(1)[0]
        try:
            return _start_on(directory, data_dir, binaries, account, candidate, settings)
        except PortInUseError:
            if port is not None:
                raise ports.unavailable(port, "--port") from None
    raise LocalServerError(f"no free port was found on {HOST}", hint="pass one with --port")


def find(data_dir: Path) -> Postmaster | None:
    """The running server of a data directory; None if there is none."""
    pid, lines = process.read_pid_file(data_dir / "postmaster.pid", data_dir)
    # pid, data directory, start time, port, socket directory, address, shared memory, status
    if pid is None or len(lines) < 4 or not lines[3].strip().isdecimal():
        return None
    return Postmaster(pid, int(lines[3]), len(lines) > 7 and lines[7].strip() == "ready")


def wait_ready(pid: int, data_dir: Path) -> Postmaster | None:
    """Wait until the server accepts connections; None if it stops first.

    Raises LocalServerError after START_TIMEOUT seconds, and stops the server.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        postmaster = find(data_dir)
        if postmaster is not None and postmaster.pid == pid and postmaster.ready:
            return postmaster
        if not process.alive(pid, data_dir):
            return None
        time.sleep(process.POLL_SECONDS)
    process.stop(pid, data_dir, _STOP_SIGNALS, STOP_TIMEOUT)
    raise LocalServerError(
        f"the local server did not accept connections within {START_TIMEOUT:.0f} s",
        hint="see server.log in .supabase-jobs; `supabase-jobs local reset` makes a new, empty"
        " database",
    )


def accepts_connections(port: int) -> bool:
    """Whether a PostgreSQL server answers on a port."""
    try:
        with socket.create_connection((HOST, port), timeout=5) as connection:
            connection.sendall(_SSL_REQUEST)
            return connection.recv(1) in (b"N", b"S")
    except OSError:
        return False


def stop(data_dir: Path, *, keep_data: bool = True) -> bool:
    """Stop the server of a data directory; return whether it was running. Data that is not kept is
    not written to the disk.
    """
    postmaster = find(data_dir)
    signals = _STOP_SIGNALS if keep_data else _STOP_SIGNALS[1:]
    return postmaster is not None and process.stop(postmaster.pid, data_dir, signals, STOP_TIMEOUT)


def _initdb(
    data_dir: Path,
    binaries: Binaries,
    account: Account,
    superuser: str,
    password_file: Path,
    locale: str,
) -> tuple[int, str]:
    command: list[str | Path] = [
        *(
            binaries.initdb,
            "-D",
            data_dir,
            "-U",
            superuser,
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
        ),
        *("--encoding=UTF8", f"--locale={locale}", "--no-sync", "--no-instructions"),
    ]
    done = account.run(command, timeout=300)
    unshare = shutil.which("unshare")
    if (
        done.returncode != 0
        and "could not look up effective user" in done.stdout
        and unshare is not None
    ):
        # initdb needs a name for the user id; a container without one gets it in a user namespace
        mapped = account.run([unshare, "--user", "--map-user=65534", "--", *command], timeout=300)
        if mapped.returncode == 0:
            done = mapped
    return done.returncode, done.stdout


def _start_on(
    directory: ServerDirectory,
    data_dir: Path,
    binaries: Binaries,
    account: Account,
    port: int,
    settings: Mapping[str, str],
) -> Postmaster:
    options = {**SETTINGS, **settings, "port": str(port)}
    log_file = directory.log_file
    if log_file.exists():
        log_file.replace(log_file.with_suffix(".log.old"))
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    pid = process.launch(account, [binaries.postgres, "-D", data_dir, *arguments], log_file)
    postmaster = wait_ready(pid, data_dir)
    if postmaster is not None:
        return postmaster
    log = process.read_log(log_file)
    if "could not bind" in log:
        raise PortInUseError
    raise _failure("the local server stopped during its start", log)


def _remove_stale_pid_file(data_dir: Path) -> None:
    """Remove the pid file of a server that is not running.

    PostgreSQL refuses to start if another process has that id by now. It detects orphaned backends
    by their shared memory instead.
    """
    if find(data_dir) is None:
        (data_dir / "postmaster.pid").unlink(missing_ok=True)


def _failure(summary: str, printed: str) -> LocalServerError:
    """The error with the last important lines that a program printed, and a hint."""
    lines = [_LOG_PREFIX.sub("", line) for line in printed.splitlines() if line.strip()]
    important = [
        line
        for line in lines
        if "error:" in line or "FATAL" in line or "PANIC" in line or "HINT" in line
    ]
    shown = (important or lines)[-4:]
    hint = next((advice for sign, advice in _HINTS if sign in printed), None)
    return LocalServerError(
        "\n  ".join([f"{summary}:", *shown]) if shown else f"{summary} and printed nothing",
        hint=hint or "see the message of PostgreSQL above, and server.log in .supabase-jobs",
    )
