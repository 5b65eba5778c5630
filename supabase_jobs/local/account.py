"""The operating system account that runs the server: `nobody` if we are root, else the current
user.

PostgreSQL refuses to run as root. This module creates no user and changes no directory of another
user.
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
    """An operating system account. `switches`: we are root, and child processes change to the
    account.
    """

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
        """Run a program as this account, in `/`, with a clean environment; capture its stdout.

        The program gets its own process group. After a timeout or an interrupt the whole group is
        killed; processes that it leaves behind on success, such as the server, keep running. Raises
        OSError if it cannot be executed.
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

    def version_of(self, program: Path) -> str | None:
        """The output of `PROGRAM --version`; None if this account cannot execute the program."""
        try:
            done = self.run([program, "--version"], timeout=30)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def can_enter(self, folder: Path) -> bool:
        """Whether this account can enter a folder and all its parents."""
        if not self.switches:
            return os.access(folder, os.X_OK)
        return self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder], timeout=30).returncode == 0

    def write(self, path: Path, text: str) -> None:
        """Write a file as this account: root must not follow links in another's folder."""
        done = self.run(["/bin/sh", "-c", 'cat > "$1"', "sh", path], text=text, timeout=30)
        if done.returncode != 0:
            raise OSError(f"cannot write {path}: {done.stdout.strip()}")

    def make_owner(self, path: Path) -> None:
        """Make this account the owner of a file or folder that we have just created."""
        if self.switches:
            os.chown(path, self.uid, self.gid)


@cache
def current() -> Account:
    """The account for servers of this process. Raises LocalServerError if root cannot change to
    `nobody`.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), f"uid {os.geteuid()}", switches=False)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise LocalServerError(
            "PostgreSQL refuses to run as root, and this system has no user `nobody`",
            hint="run the command as an ordinary user",
        ) from None
    account = Account(entry.pw_uid, entry.pw_gid, entry.pw_name, switches=True)
    try:
        account.run(["/bin/sh", "-c", ":"], timeout=30)
    except OSError as error:
        raise LocalServerError(
            "PostgreSQL refuses to run as root, and root cannot change to the user `nobody` here"
            f" ({error.strerror})",
            hint="run the command as an ordinary user",
        ) from None
    return account


def _environment() -> dict[str, str]:
    """The environment of child processes, without the caller's PG… and locale variables."""
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "LC_ALL": "C",
        "TZ": "UTC",
    }
