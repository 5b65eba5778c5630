"""Temporary directories of servers, which a later run recognizes and removes if their process was
killed.

The process that creates a directory holds a lock in it. The system releases the lock when the
process ends.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supabase_jobs.local.directory import is_own_folder

_PREFIX = "supabase-jobs-throwaway-"
_LOCK = "owner"
# files of Linux in memory: creating the thousand of a server takes a fifth of the time there
_MEMORY = Path("/dev/shm")  # noqa: S108
_ROOM = 2 * 1024**3  # an audit of 200 tables has 70 MB


@contextmanager
def directory(*, in_memory: bool = False) -> Iterator[Path]:
    """A new directory, removed after the block. `in_memory`: if there is room for it; a TMPDIR that
    is set is used all the same.
    """
    parent = _MEMORY if in_memory and "TMPDIR" not in os.environ and _has_room() else None
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    path.chmod(
        0o711
    )  # the account of the server enters it; nobody else knows the names of its files
    handle, name = tempfile.mkstemp(dir=path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        # it gets its name once it is locked, so that no other process considers the directory
        # abandoned
        Path(name).rename(path / _LOCK)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def abandoned() -> Iterator[Path]:
    """The directories of ended processes; each is locked until the next one is requested."""
    for path in _all():
        if not is_own_folder(path):
            continue
        try:
            handle = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # another process is creating or removing it
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # in use
        else:
            yield path
        finally:
            os.close(handle)


def _all() -> Iterator[Path]:
    for parent in dict.fromkeys((Path(tempfile.gettempdir()), _MEMORY)):
        yield from parent.glob(f"{_PREFIX}*")


def _has_room() -> bool:
    """Whether a server can be there, and its programs, which may be copied beside it."""
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return False
    free = found.f_bavail * found.f_frsize
    is_open = os.access(_MEMORY, os.W_OK | os.X_OK)
    return is_open and not found.f_flag & os.ST_NOEXEC and free > _ROOM
