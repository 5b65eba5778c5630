"""The operating system account that runs the server: `nobody` where we are root, else ourselves.

PostgreSQL refuses to run as root. Nothing here creates a user or changes a directory that is not ours.
"""

import os
import pwd
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from supabase_jobs.errors import LocalServerError


@dataclass(frozen=True)
class Account:
    """Who runs the server; `switches` says that we are root and have to become that account."""

    uid: int
    gid: int
    name: str
    switches: bool

    def run(
        self,
        args: Sequence[str | Path],
        *,
        text: str = "",
        stderr: int = subprocess.STDOUT,
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this account, from `/`, with a clean environment; stdout is captured.

        It has a session of its own: it outlives us where it is to stay (the server), and where we are
        interrupted or run out of time, it goes with all its children. Raises OSError when it cannot be executed.
        """
        with subprocess.Popen(
            args,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="replace",
            cwd="/",
            env=_environment(),
            start_new_session=True,
            umask=0o077,
            user=self.uid if self.switches else None,
            group=self.gid if self.switches else None,
            extra_groups=[] if self.switches else None,
        ) as process:
            try:
                printed, _ = process.communicate(text, timeout)
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(args, process.returncode, printed)

    def version_of(self, postgres: Path) -> str | None:
        """What `postgres --version` prints as this account; None when it cannot execute it."""
        try:
            done = self.run([postgres, "--version"], timeout=30)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def reaches(self, folder: Path) -> bool:
        """Whether this account can enter a folder, through all its parents."""
        if not self.switches:
            return os.access(folder, os.X_OK)
        return self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder], timeout=30).returncode == 0

    def write(self, path: Path, text: str) -> None:
        """Write a file as this account, so that root follows no link in a folder of another account."""
        done = self.run(["/bin/sh", "-c", 'cat > "$1"', "sh", path], text=text, timeout=30)
        if done.returncode != 0:
            raise OSError(f"cannot write {path}: {done.stdout.strip()}")

    def own(self, path: Path) -> None:
        """Hand over a file or folder that we have just created ourselves."""
        if self.switches:
            os.chown(path, self.uid, self.gid)


@cache
def current() -> Account:
    """The account for this process; raises LocalServerError where root cannot become `nobody`."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), f"uid {os.geteuid()}", switches=False)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise LocalServerError(
            "PostgreSQL refuses to run as root, and this system has no account `nobody`",
            hint="run the command as an ordinary user",
        ) from None
    account = Account(entry.pw_uid, entry.pw_gid, entry.pw_name, switches=True)
    try:
        account.run(["/bin/sh", "-c", ":"], timeout=30)
    except OSError as error:
        raise LocalServerError(
            f"PostgreSQL refuses to run as root, and root may not become `nobody` here ({error.strerror})",
            hint="run the command as an ordinary user",
        ) from None
    return account


def _environment() -> dict[str, str]:
    """Nothing of the caller's PG* or locale settings reaches the server."""
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}
