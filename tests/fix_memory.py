"""Temporary files are in memory if there is room for some servers: of each that a test or a program
of it starts, a disk would get 40 MB.
"""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108
_ROOM = 8 * 1024**3


def pytest_configure() -> None:
    """Name the folder to this process, before it makes a temporary file, and to its programs."""
    if "TMPDIR" not in os.environ and _has_room():
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _has_room() -> bool:
    return (
        _MEMORY.is_dir()
        and os.access(_MEMORY, os.W_OK)
        and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC  # tests write programs
        and shutil.disk_usage(_MEMORY).free > _ROOM
    )
