"""Kill what a run of the suite has left; and, as a process that lives as long as its stdin is open,
what is left by a `mutate` that was killed itself.

Each line on stdin adds (`+1234 COPY`) or removes (`-1234`) the process group of a run on a copy. At
the end of the input, those left are killed.
"""

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

COPY_VARIABLE = "SUPABASE_JOBS_COPY"
"""The name of the copy, in the environment of every process of a run."""
_PROCESSES = Path("/proc")


def watch(lines: Iterable[str]) -> None:
    """Follow the lines to their end, and kill what is left."""
    groups: dict[int, str] = {}
    for line in lines:
        number, _, copy = line[1:].strip().partition(" ")
        if line.startswith("+"):
            groups[int(number)] = copy
        else:
            groups.pop(int(number), None)
    for group, copy in groups.items():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        kill_all(copy)


def kill_all(copy: str) -> None:
    """Kill the processes of the run on a copy that have left its process group, such as servers
    with a session of their own. Only Linux shows the environment of a process.
    """
    mark = f"{COPY_VARIABLE}={copy}".encode()
    for process in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


if __name__ == "__main__":
    watch(sys.stdin)
