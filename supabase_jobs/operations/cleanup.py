"""Delete expired jobs and inactive guests in short transactions, by the functions of the database.

`private.cleanup_old_jobs` and `private.cleanup_inactive_guests` hold the rules. Each call deletes
one batch and returns the time at which the next batch starts, so no batch reads again the index
entries of deleted rows.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import IsolationLevel

from supabase_jobs.database.batch import read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.time_limits import time_limits
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.operations.statements import change, requires_migrations, statement

# jobs first: a guest whose jobs have been deleted may be deleted too
KINDS = ("jobs", "guests")

# How long a batch holds its locks, which is how long a concurrent writer may wait. Half of what is
# tolerable at the 99th percentile, because a batch can turn out slower than the previous one.
TARGET_SECONDS = 0.05
FIRST_SIZE = 250
SMALLEST_SIZE, LARGEST_SIZE = 100, 10_000


@dataclass
class BatchSize:
    """Rows in a batch: a fixed number, or as many as the server deletes in about 50 ms."""

    fixed: int | None = None
    rows: int = FIRST_SIZE

    def __post_init__(self) -> None:
        self.rows = self.fixed or self.rows

    def adapt(self, seconds: float, *, advanced: bool) -> None:
        """Shrink after a slow batch, grow after a fast one.

        A batch that has not `advanced` (more rows of one timestamp than a batch holds) was slow
        because of the rows it skipped; a smaller batch would skip them more often.
        """
        if self.fixed:
            return
        if seconds > TARGET_SECONDS and advanced:
            self.rows = max(self.rows // 2, SMALLEST_SIZE)
        elif seconds < TARGET_SECONDS / 2 or not advanced:
            self.rows = min(self.rows * 2, LARGEST_SIZE)


@dataclass
class Deleted:
    """Committed deletions: rows by kind, and batches."""

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    batches: int = 0

    def __str__(self) -> str:
        return " and ".join(f"{number:,} {kind}" for kind, number in self.rows.items())


def count_expired(connection: Connection, kind: str, days: Mapping[str, int]) -> int:
    """Count the rows of a kind that a cleanup would delete; guests as if the expired jobs had been
    deleted.

    `days` holds `days` (jobs) and `guest_days`. Raises what `requires_migrations` raises.
    """
    connection.isolation_level = (
        IsolationLevel.READ_COMMITTED
    )  # a replica does not support SERIALIZABLE
    with requires_migrations(connection), connection.transaction():
        read(connection, [time_limits(), statement("cleanup/settings").statement()])
        total: int = statement(f"cleanup/count_{kind}").dicts(connection, days)[0]["total"]
    return total


def delete_expired(
    connection: Connection,
    kind: str,
    days: Mapping[str, int],
    deleted: Deleted,
    batch_size: int | None = None,
) -> Iterator[int]:
    """Delete the expired rows of a kind, oldest first, skipping locked rows; yields the number of
    rows of each batch.

    A batch is committed and counted in `deleted` before it is yielded, so a caller that stops
    iterating stops between two batches. Cleanups may run concurrently. Raises what
    `requires_migrations` raises; the message reports the rows deleted so far.
    """
    batch = statement(f"cleanup/delete_{kind}")
    size = BatchSize(batch_size)
    start: str | None = "-infinity"
    while start is not None:
        with _deleted_so_far(connection, deleted):
            values = {**days, "size": size.rows, "start": start}
            row = change(connection, statement("cleanup/settings"), batch, values)
        number, next_start, seconds = row
        if not number and next_start is None:
            return
        deleted.rows[kind] += number
        deleted.batches += 1
        yield number
        size.adapt(seconds, advanced=next_start != start)
        start = next_start


@contextmanager
def _deleted_so_far(connection: Connection, deleted: Deleted) -> Iterator[None]:
    """Append the committed deletions to the message of an error."""
    try:
        with requires_migrations(connection):
            yield
    except SupabaseJobsError as error:
        if not deleted.batches:
            raise
        error.message += f"; {deleted} had been deleted before, and stay deleted"
        error.args = (error.message,)
        raise
