"""Operations on all jobs of an owner: migrated to a user, or deleted with the owner."""

import statistics
import time
from collections.abc import Mapping
from uuid import UUID

from benchmarks.databases import LARGE_GUEST, LARGE_USER, Databases
from benchmarks.figures import Figure
from supabase_jobs.database.connection import Connection, connect

_REPEAT = 5
_JOBS = "select count(*) from public.async_jobs where guest_id = %(guest)s or user_id = %(user)s"
_OPERATIONS = (
    (
        "migrate_guest_jobs",
        "select migrated_count from public.migrate_guest_jobs(%(guest)s, %(user)s)",
    ),
    ("delete of a guest", "delete from public.guest_users where guest_id = %(guest)s"),
    ("delete of a user", "delete from auth.users where id = %(user)s"),
)


def measure(databases: Databases) -> list[Figure]:
    """The median of five runs, each rolled back."""
    ids = {"guest": LARGE_GUEST, "user": LARGE_USER}
    with databases.copy(databases.filled()) as url, connect(url) as connection:
        row = connection.execute(_JOBS, ids).fetchone()
        assert row is not None  # noqa: S101  a count
        jobs = row[0] // 2  # half of them belong to the guest
        times = {
            name: [_timed(connection, text, ids) for _ in range(_REPEAT)]
            for name, text in _OPERATIONS
        }
    return [
        Figure(name, statistics.median(ms), "ms", detail=f"{jobs:,} jobs")
        for name, ms in times.items()
    ]


def _timed(connection: Connection, text: str, ids: Mapping[str, UUID]) -> float:
    with connection.transaction(force_rollback=True):
        started = time.perf_counter()
        connection.execute(text.encode(), ids)
        return (time.perf_counter() - started) * 1000
