"""Somebody who writes while rows are deleted, in a process of its own, and how long each write took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe

import psycopg

from benchmarks.world import run, statement

_PAUSE = 0.002
_PROCESSES = get_context("spawn")


@dataclass
class Waits:
    """Milliseconds of each write; `kept` are the jobs that were to be deleted and were changed before."""

    ms: list[float] = field(default_factory=list)
    kept: int = 0

    def percentile(self, number: int) -> float:
        """So many percent of the writes took no longer; 100: the longest."""
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) * number // 100, len(ordered) - 1)]


@contextmanager
def writing(url: str) -> Iterator[Waits]:
    """Somebody who writes while the block runs; afterwards its value holds what they saw.

    They add a job, report progress on another, and change one of those that go next or are being deleted: whoever
    deletes holds a lock on it as often as can be.
    """
    waits = Waits()
    ours, theirs = _PROCESSES.Pipe()
    process = _PROCESSES.Process(target=_write, args=(url, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.recv()  # connected
        yield waits
        ours.send(None)
        waits.ms, waits.kept = ours.recv()
        process.join(30)
    finally:
        if process.is_alive():
            process.kill()
            process.join()


def _write(url: str, pipe: Pipe) -> None:
    spent: list[float] = []

    def timed(work: Callable[[], int]) -> int:
        started = time.perf_counter()
        touched = work()
        spent.append((time.perf_counter() - started) * 1000)
        return touched

    after: object = "-infinity"
    kept = 0
    with psycopg.connect(url, autocommit=True) as connection, psycopg.RawCursor(connection) as cursor:
        pipe.send(None)
        while not (spent and pipe.poll(_PAUSE)):
            timed(lambda: run(connection, "writer/insert"))
            timed(lambda: run(connection, "writer/progress"))
            found = cursor.execute(statement("writer/next"), (after,)).fetchone()
            if found:
                id, after = found
                kept += timed(lambda id=id: run(connection, "writer/touch", id))  # type: ignore[misc]
    pipe.send((spent, kept))
