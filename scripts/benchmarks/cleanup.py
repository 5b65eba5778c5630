"""`cleanup`, next to deleting the same rows in one statement, and what others wait for meanwhile."""

import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.figures import Figure, holds
from benchmarks.world import World, run
from benchmarks.writer import Waits, writing
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.operations.cleanup import Deleted, delete_expired

RATIO = 6.0
P99_MS, WORST_MS = 100.0, 500.0

_DAYS = {"days": 4, "guest_days": 30}  # what jobs.sql calls old
_REPEAT = 3  # once where there are more jobs than so many
_MANY = 1_000_000

CLEANUP, NAIVE, SHUFFLED = "cleanup", "naive batches of 1,000", "cleanup, the jobs in no order on the disk"
ONE_DELETE = "one DELETE"


def in_one(connection: Connection) -> int:
    """One plain DELETE; how many jobs went."""
    return run(connection, "delete")


def in_batches(connection: Connection) -> int:
    """As `supabase-jobs cleanup --days 4` deletes them."""
    return sum(delete_expired(connection, "jobs", _DAYS, Deleted()))


def naively(connection: Connection) -> int:
    """In batches of which each looks for the oldest anew."""
    total = 0
    while deleted := run(connection, "naive"):
        total += deleted
    return total


Work = Callable[[Connection], int]


def measure(world: World) -> list[Figure]:
    """Each time on a fresh copy of the same database."""
    return [*_times(world), *_waits(world)]


def _times(world: World) -> Iterator[Figure]:
    ordered = world.filled()
    repeat = _REPEAT if world.rows <= _MANY else 1
    pairs = [(_timed(world, ordered, in_batches), _timed(world, ordered, in_one)) for _ in range(repeat)]
    ours, plain = (statistics.median(times) for times in zip(*pairs, strict=True))
    yield _ratio(world, CLEANUP, ours, plain, RATIO)
    yield _ratio(world, NAIVE, _timed(world, ordered, naively), plain)
    shuffled = world.filled(shuffled=True)
    ours, plain = (_timed(world, shuffled, work) for work in (in_batches, in_one))
    yield _ratio(world, SHUFFLED, ours, plain)
    world.drop(shuffled)


def _waits(world: World) -> Iterator[Figure]:
    waits, deleted, left = _watched(world, in_batches)
    detail = f"{len(waits.ms):,} writes, half of them within {waits.percentile(50):.1f} ms"
    also = {"median": waits.percentile(50)}
    yield Figure(f"{CLEANUP}: 99% of another's writes take", waits.percentile(99), "ms", P99_MS, False, detail, also)
    yield Figure(f"{CLEANUP}: the longest of them", waits.percentile(100), "ms", WORST_MS)
    yield holds(
        f"{CLEANUP}: gone is what had expired, and nothing else",
        deleted + waits.kept == world.expired and not left,
        f"{deleted:,} deleted; {waits.kept:,} kept, for the other writer had changed them",
    )
    waits, _, _ = _watched(world, in_one)
    yield Figure(f"{ONE_DELETE}: the longest of another's writes", waits.percentile(100), "ms")


def _watched(world: World, work: Work) -> tuple[Waits, int, int]:
    """What another writer saw, how many jobs went, how many expired ones are left."""
    with world.copy(world.filled()) as url, connect(url) as connection:
        with writing(url) as waits:
            deleted = work(connection)
        return waits, deleted, run(connection, "left")


def _timed(world: World, name: str, work: Work) -> float:
    with world.copy(name) as url, connect(url) as connection:
        started = time.perf_counter()
        deleted = work(connection)
        spent = time.perf_counter() - started
    if deleted != world.expired:
        raise AssertionError(f"{work.__name__} deleted {deleted:,} jobs, not {world.expired:,}")
    return spent


def _ratio(world: World, name: str, ours: float, plain: float, limit: float | None = None) -> Figure:
    detail = f"{world.expired:,} jobs, {ours:.1f} s and {plain:.1f} s"
    also = {"seconds": ours, "one_delete_seconds": plain}
    return Figure(f"{name}: time, next to one DELETE", ours / plain, "×", limit, detail=detail, also=also)
