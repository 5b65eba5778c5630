"""Run the command of a suite on a copy of the database, in a process group of its own, within a
time limit.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile

from supabase_jobs.mutation.suite import guard
from supabase_jobs.mutation.suite.copies import Copy
from supabase_jobs.settings import DB_URL_VARIABLE

# libpq would take these instead of the URL's parts, or beside them
_OTHER_SERVERS = ("PGHOSTADDR", "PGSERVICE", "PGSSLMODE", "PGOPTIONS", "PGPASSWORD")
_TAIL_BYTES = 64_000
_MAX_NAMES = 5
# the names of failed tests in the output of pytest, pg_prove and other TAP programs, and node's
# runners
_FAILED = (
    re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE),
    re.compile(r"^# {1,3}Failed test (?:\d+: )?['\"](.+?)['\"]$", re.MULTILINE),
    re.compile(r"^\s*not ok (?:\d+ )?(?:- )?(.+)$", re.MULTILINE),
    re.compile(r"^\s*(?:✕|✗|×|✖) (.+?)(?: \(?\d[\d.]* ?m?s\)?)?$", re.MULTILINE),
)


@dataclass(frozen=True)
class SuiteOutcome:
    """The exit code of the command (None: stopped at the time limit), its seconds, and the end of
    its output.
    """

    code: int | None
    seconds: float
    output: str

    @property
    def passed(self) -> bool:
        """Whether the command exited with 0."""
        return self.code == 0

    @property
    def failed_tests(self) -> tuple[str, ...]:
        """The first failed tests that the output names; otherwise how the command ended."""
        if self.code is None:
            return ("timeout",)
        names = dict.fromkeys(
            name.strip() for pattern in _FAILED for name in pattern.findall(self.output)
        )
        return tuple(names)[:_MAX_NAMES] or (f"exit code {self.code}",)


class Suite:
    """Runs the command. `stop` kills what runs, from another thread; the guard does it if this
    process is killed.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self._groups: set[int] = set()
        self._lock = threading.Lock()
        self._stopped = False
        # in a session of its own, so that Ctrl-C does not reach it
        self._guard = subprocess.Popen(
            [sys.executable, "-m", guard.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        copy: Copy,
        mutant: str,
        timeout: float | None,
        variables: Mapping[str, str] | None = None,
    ) -> SuiteOutcome:
        """Run the command on a copy, with more environment variables, and wait for its end. What it
        has left running is killed, in its process group and, on Linux, elsewhere.
        """
        started = time.monotonic()
        with TemporaryFile() as output:
            process = subprocess.Popen(  # noqa: S602  the user's own command line
                self.command,
                shell=True,
                env=_environment(copy, mutant, variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._add(process.pid, copy.name)
            code: int | None = None
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
            finally:
                _kill(process.pid)
                guard.kill_all(copy.name)
                process.wait()
                self._remove(process.pid)
            seconds = time.monotonic() - started
            output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = output.read().decode(errors="replace")
        return SuiteOutcome(code, seconds, text)

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called, so that runs may have been killed."""
        return self._stopped

    def stop(self) -> None:
        """Kill every run, and those that start from now on."""
        with self._lock:
            self._stopped = True
            for group in self._groups:
                _kill(group)

    def close(self) -> None:
        """Stop, and end the guard."""
        self.stop()
        with suppress(OSError):
            assert self._guard.stdin is not None  # noqa: S101  a pipe
            self._guard.stdin.close()
        self._guard.wait()

    def _add(self, group: int, copy: str) -> None:
        with self._lock:
            self._groups.add(group)
            self._tell(f"+{group} {copy}")
            if self._stopped:
                _kill(group)

    def _remove(self, group: int) -> None:
        with self._lock:
            self._groups.discard(group)
            self._tell(f"-{group}")

    def _tell(self, line: str) -> None:
        with suppress(OSError):
            assert self._guard.stdin is not None  # noqa: S101  a pipe
            self._guard.stdin.write(f"{line}\n")
            self._guard.stdin.flush()


def _environment(copy: Copy, mutant: str, variables: Mapping[str, str]) -> dict[str, str | bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in _OTHER_SERVERS}
    own = {**copy.variables, **variables} | {
        DB_URL_VARIABLE: copy.url,
        "DATABASE_URL": copy.url,
        "SUPABASE_JOBS_MUTANT": mutant,
        guard.COPY_VARIABLE: copy.name,
    }
    # in UTF-8: the encoding of the locale may lack characters of a name
    return kept | {name: value.encode() for name, value in own.items()}


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
