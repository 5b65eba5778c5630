"""Kill the process groups of a run that was killed itself; a process that lives as long as its
stdin is open.

Each line on stdin adds (`+1234`) or removes (`-1234`) a process group. At the end of the input,
those left are killed.
"""

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress


def watch(lines: Iterable[str]) -> None:
    """Follow the lines to their end, and kill the groups that are left."""
    groups: set[int] = set()
    for line in lines:
        number = int(line[1:])
        if line.startswith("+"):
            groups.add(number)
        else:
            groups.discard(number)
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    watch(sys.stdin)
