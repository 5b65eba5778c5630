"""What happens to all of an owner's jobs at once: handed over to a user, or deleted with the owner."""

import statistics
import time
from collections.abc import Mapping
from uuid import UUID

from benchmarks.figures import Figure
from benchmarks.world import LARGE_GUEST, LARGE_USER, World
from supabase_jobs.database.connection import Connection, connect

_REPEAT = 5
_JOBS = "select count(*) from public.async_jobs where guest_id = %(guest)s or user_id = %(user)s"
_WORK = (
    ("migrate_guest_jobs", "select migrated_count from public.migrate_guest_jobs(%(guest)s, %(user)s)"),
    ("delete of a guest", "delete from public.guest_users where guest_id = %(guest)s"),
    ("delete of a user", "delete from auth.users where id = %(user)s"),
)


def measure(world: World) -> list[Figure]:
    """Each is rolled back, and done anew; the median of five."""
    ids = {"guest": LARGE_GUEST, "user": LARGE_USER}
    with world.copy(world.filled()) as url, connect(url) as connection:
        row = connection.execute(_JOBS, ids).fetchone()
        assert row is not None  # noqa: S101  a count
        jobs = row[0] // 2  # half of them are the guest's
        times = {name: [_timed(connection, text, ids) for _ in range(_REPEAT)] for name, text in _WORK}
    return [Figure(name, statistics.median(spent), "ms", detail=f"{jobs:,} jobs") for name, spent in times.items()]


def _timed(connection: Connection, text: str, ids: Mapping[str, UUID]) -> float:
    with connection.transaction(force_rollback=True):
        started = time.perf_counter()
        connection.execute(text.encode(), ids)
        return (time.perf_counter() - started) * 1000
