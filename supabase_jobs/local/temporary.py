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


@contextmanager
def directory() -> Iterator[Path]:
    """A new directory, removed after the block."""
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
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
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
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
