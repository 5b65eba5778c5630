"""A data directory: made by `initdb`, served by `postgres`, and what to tell the user when that fails."""

import os
import re
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from supabase_jobs.errors import ConfigError, LocalServerError
from supabase_jobs.local import postmaster
from supabase_jobs.local.account import Account
from supabase_jobs.local.binaries import Binaries
from supabase_jobs.local.place import Place
from supabase_jobs.local.postmaster import Process

SUPERUSER = "supabase_admin"

# A superuser can run programs as this account, so other users of the machine must not become one:
# it needs its password. The other roles need none, and nothing else gets in.
HBA = f"""\
# written by supabase-jobs: this computer only
host  all  {SUPERUSER}  127.0.0.1/32  scram-sha-256
host  all  all  127.0.0.1/32  trust
"""

# Speed for data that can be thrown away. Failing statements stay out of the log: they can hold a guest's secret.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "logical",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_min_error_statement": "panic",
}

_HINTS = (
    ("Check free disk space", "free some space on that disk, then start again"),
    ("No space left on device", "free some space on that disk, then start again"),
    ("Disk quota exceeded", "free some of your disk quota, then start again"),
    ("Read-only file system", "work in a directory that you can write to"),
    ("shared memory", "give the container more shared memory (/dev/shm), then start again"),
    (
        "could not look up effective user",
        "this user id has no entry in /etc/passwd: add one, or be another user",
    ),
    ("Permission denied", "the server's account must be able to read and write its data directory"),
    ("could not access file", "the library named in shared_preload_libraries is not in this PostgreSQL"),
    ("incompatible with server", "`supabase-jobs local reset` makes a new, empty database of this version"),
)

# time and process id, as the server writes them before each line
_LOG_PREFIX = re.compile(r"[\d-]+ [\d:.]+ UTC \[\d+\] ")


class PortTakenError(Exception):
    """Another program listens on the port."""


def create(place: Place, home: Path, binaries: Binaries, account: Account, password: str) -> Path:
    """Make a data directory `home/data`; returns it. The caller removes it when anything fails.

    Raises LocalServerError with what initdb said, OSError when the disk refuses.
    """
    data_dir = home / "data"
    data_dir.mkdir(mode=0o700)
    account.own(data_dir)
    pwfile = home / "password"
    pwfile.unlink(missing_ok=True)
    handle = os.open(pwfile, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(password + "\n")
        account.own(pwfile)
        said = ""
        for locale in ("C.UTF-8", "C"):  # the second where the system lacks the first
            status, said = _initdb(data_dir, binaries, account, pwfile, locale)
            if status == 0:
                break
            if "invalid locale name" not in said:
                raise failure("initdb could not make a database", said)
        else:
            raise failure("initdb could not make a database", said)
    finally:
        pwfile.unlink(missing_ok=True)
    account.write(data_dir / "pg_hba.conf", HBA)
    place.log_file.unlink(missing_ok=True)
    return data_dir


def _initdb(data_dir: Path, binaries: Binaries, account: Account, pwfile: Path, locale: str) -> tuple[int, str]:
    command: list[str | Path] = [
        *(binaries.initdb, "-D", data_dir, "-U", SUPERUSER, f"--pwfile={pwfile}", "--auth=scram-sha-256"),
        *("--encoding=UTF8", f"--locale={locale}", "--no-sync", "--no-instructions"),
    ]
    done = account.run(command, timeout=300)
    unshare = shutil.which("unshare")
    if done.returncode != 0 and "could not look up effective user" in done.stdout and unshare is not None:
        # initdb wants a name for our user id, which has none in this container: give it one of its own namespace
        mapped = account.run([unshare, "--user", "--map-user=65534", "--", *command], timeout=300)
        if mapped.returncode == 0:
            done = mapped
    return done.returncode, done.stdout


def serve(
    place: Place,
    data_dir: Path,
    binaries: Binaries,
    account: Account,
    *,
    port: int | None,
    preferred: int | None,
    settings: Mapping[str, str],
) -> Process:
    """Launch the server of a data directory on `port`, or on a free one (the `preferred` first).

    Raises ConfigError for a taken port that was asked for, LocalServerError when the server does not come up.
    """
    postmaster.clear_stale(data_dir)
    for attempt in range(10):
        number = port or (preferred if attempt == 0 and preferred and _free(preferred) else None) or _any_port()
        try:
            return _serve_on(place, data_dir, binaries, account, number, settings)
        except PortTakenError:
            if port is not None:
                raise ConfigError(
                    f"port {port} on 127.0.0.1 cannot be had: another program listens there, or it is reserved",
                    hint="give another --port, or none to get a free one",
                ) from None
    raise LocalServerError("no free port was found on 127.0.0.1", hint="give one with --port")


def _serve_on(
    place: Place, data_dir: Path, binaries: Binaries, account: Account, port: int, settings: Mapping[str, str]
) -> Process:
    options = {**SETTINGS, **settings, "port": str(port)}
    log_file = place.log_file
    if log_file.exists():
        log_file.replace(log_file.with_suffix(".log.old"))
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        command = postmaster.command(binaries.postgres, data_dir, options)
        printed = account.run(command, stderr=log, timeout=60).stdout.strip()
    finally:
        os.close(log)
    ready = postmaster.wait_ready(int(printed), data_dir) if printed.isdigit() else None
    if ready is not None:
        return ready
    said = log_file.read_text(encoding="utf-8", errors="replace")
    if "could not bind" in said:
        raise PortTakenError
    raise failure("the local server ended while it started", said)


def failure(what: str, said: str) -> LocalServerError:
    """The error for the user: what failed, the last lines that the program wrote, what to do."""
    lines = [_LOG_PREFIX.sub("", line) for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line or "FATAL" in line or "PANIC" in line or "HINT" in line]
    shown = (telling or lines)[-4:]
    hint = next((advice for sign, advice in _HINTS if sign in said), None)
    return LocalServerError(
        "\n  ".join([f"{what}:", *shown]) if shown else f"{what}, and said nothing",
        hint=hint or "the message above is PostgreSQL's own; server.log in .supabase-jobs has the rest",
    )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number
