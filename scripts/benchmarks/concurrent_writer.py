"""A concurrent writer in its own process, and the time of each of its writes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe

import psycopg

from benchmarks.databases import run, statement

_PAUSE = 0.002
_PROCESSES = get_context("spawn")


@dataclass
class Writes:
    """Milliseconds of each write; `kept` counts the expired jobs that a write updated before they
    were deleted.
    """

    ms: list[float] = field(default_factory=list)
    kept: int = 0

    def percentile(self, number: int) -> float:
        """The time that this percentage of the writes did not exceed; 100 is the maximum."""
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) * number // 100, len(ordered) - 1)]


@contextmanager
def concurrent_writes(url: str) -> Iterator[Writes]:
    """Write while the block runs; the value is complete after the block.

    The writer inserts a job, updates the progress of another, and updates one of the next jobs to
    be deleted, so that it meets the locks of a deletion as often as possible.
    """
    writes = Writes()
    pipe, child_pipe = _PROCESSES.Pipe()
    process = _PROCESSES.Process(target=_write, args=(url, child_pipe), daemon=True)
    process.start()
    child_pipe.close()
    try:
        pipe.recv()  # connected
        yield writes
        pipe.send(None)
        writes.ms, writes.kept = pipe.recv()
        process.join(30)
    finally:
        if process.is_alive():
            process.kill()
            process.join()


def _write(url: str, pipe: Pipe) -> None:
    times: list[float] = []

    def timed(write: Callable[[], int]) -> int:
        started = time.perf_counter()
        rows = write()
        times.append((time.perf_counter() - started) * 1000)
        return rows

    start: object = "-infinity"
    kept = 0
    with (
        psycopg.connect(url, autocommit=True) as connection,
        psycopg.RawCursor(connection) as cursor,
    ):
        pipe.send(None)
        while not (times and pipe.poll(_PAUSE)):
            timed(lambda: run(connection, "writer/insert"))
            timed(lambda: run(connection, "writer/progress"))
            row = cursor.execute(statement("writer/next_expired"), (start,)).fetchone()
            if row:
                id, start = row
                kept += timed(lambda id=id: run(connection, "writer/update", id))  # type: ignore[misc]
    pipe.send((times, kept))
