"""`cleanup` compared with one DELETE of the same rows, and the times of a concurrent writer."""

import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.concurrent_writer import Writes, concurrent_writes
from benchmarks.databases import Databases, run
from benchmarks.figures import Figure, holds
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.operations.cleanup import Deleted, delete_expired

RATIO = 6.0
P99_MS, MAX_MS = 100.0, 500.0

_DAYS = {"days": 4, "guest_days": 30}  # insert_jobs.sql dates the expired jobs by it
_REPEAT = 3  # once if there are more than _MANY jobs
_MANY = 1_000_000

CLEANUP, NAIVE, SHUFFLED = (
    "cleanup",
    "naive batches of 1,000",
    "cleanup, jobs in random order on disk",
)
ONE_DELETE = "one DELETE"


def in_one(connection: Connection) -> int:
    """One DELETE; returns the number of deleted jobs."""
    return run(connection, "delete_expired")


def in_batches(connection: Connection) -> int:
    """The code of `supabase-jobs cleanup --days 4`."""
    return sum(delete_expired(connection, "jobs", _DAYS, Deleted()))


def in_naive_batches(connection: Connection) -> int:
    """Batches that each start their search at the oldest index entry."""
    total = 0
    while deleted := run(connection, "naive_batch"):
        total += deleted
    return total


Deletion = Callable[[Connection], int]


def measure(databases: Databases) -> list[Figure]:
    """Each measurement runs on a new copy of the same database."""
    return [*_times(databases), *_concurrent(databases)]


def _times(databases: Databases) -> Iterator[Figure]:
    ordered = databases.filled()
    repeat = _REPEAT if databases.rows <= _MANY else 1
    pairs = [
        (_timed(databases, ordered, in_batches), _timed(databases, ordered, in_one))
        for _ in range(repeat)
    ]
    cleanup, one_delete = (statistics.median(times) for times in zip(*pairs, strict=True))
    yield _ratio(databases, CLEANUP, cleanup, one_delete, RATIO)
    yield _ratio(databases, NAIVE, _timed(databases, ordered, in_naive_batches), one_delete)
    shuffled = databases.filled(shuffled=True)
    cleanup, one_delete = (
        _timed(databases, shuffled, deletion) for deletion in (in_batches, in_one)
    )
    yield _ratio(databases, SHUFFLED, cleanup, one_delete)
    databases.drop(shuffled)


def _concurrent(databases: Databases) -> Iterator[Figure]:
    writes, deleted, remaining = _with_writer(databases, in_batches)
    detail = f"{len(writes.ms):,} writes, median {writes.percentile(50):.1f} ms"
    also = {"median": writes.percentile(50)}
    yield Figure(
        f"{CLEANUP}: concurrent writes, 99th percentile",
        writes.percentile(99),
        "ms",
        P99_MS,
        False,
        detail,
        also,
    )
    yield Figure(f"{CLEANUP}: concurrent writes, maximum", writes.percentile(100), "ms", MAX_MS)
    yield holds(
        f"{CLEANUP}: deletes exactly the expired jobs",
        deleted + writes.kept == databases.expired and not remaining,
        f"{deleted:,} deleted; {writes.kept:,} kept because the writer had updated them",
    )
    writes, _, _ = _with_writer(databases, in_one)
    yield Figure(f"{ONE_DELETE}: concurrent writes, maximum", writes.percentile(100), "ms")


def _with_writer(databases: Databases, deletion: Deletion) -> tuple[Writes, int, int]:
    """The concurrent writes, and the numbers of deleted jobs and of remaining expired jobs."""
    with databases.copy(databases.filled()) as url, connect(url) as connection:
        with concurrent_writes(url) as writes:
            deleted = deletion(connection)
        return writes, deleted, run(connection, "expired")


def _timed(databases: Databases, name: str, deletion: Deletion) -> float:
    with databases.copy(name) as url, connect(url) as connection:
        started = time.perf_counter()
        deleted = deletion(connection)
        seconds = time.perf_counter() - started
    if deleted != databases.expired:
        raise AssertionError(
            f"{deletion.__name__} deleted {deleted:,} jobs, not {databases.expired:,}"
        )
    return seconds


def _ratio(
    databases: Databases, name: str, seconds: float, one_delete: float, limit: float | None = None
) -> Figure:
    detail = f"{databases.expired:,} jobs, {seconds:.1f} s and {one_delete:.1f} s"
    also = {"seconds": seconds, "one_delete_seconds": one_delete}
    return Figure(
        f"{name}: time relative to one DELETE",
        seconds / one_delete,
        "×",
        limit,
        detail=detail,
        also=also,
    )
