"""Delete what has expired, in many short transactions instead of a long one. The rules stand in `sql/cleanup/`.

A folder there is a kind of row, in the order in which they go: `count.sql` says how many there are, and the
`batch_….sql` are run one after the other in the transaction of a batch. A batch begins where the one before
ended, so no plan walks again over what has been deleted.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import IsolationLevel

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.operations.queries import explained, load, load_all

# jobs first: a guest whose old jobs are gone may go too
KINDS = ("jobs", "guests")

# What a concurrent writer may have to wait for, that is how long a batch holds its locks. Half of what is
# tolerable at the 99th percentile, for a batch can turn out slower than the one before.
TARGET_SECONDS = 0.05
FIRST_SIZE = 250
SMALLEST_SIZE, LARGEST_SIZE = 100, 10_000


@dataclass
class Pace:
    """How many rows a batch takes: a fixed number, or as many as the server deletes in about 50 ms."""

    fixed: int | None = None
    size: int = FIRST_SIZE

    def __post_init__(self) -> None:
        self.size = self.fixed or self.size

    def adapt(self, seconds: float, *, moved: bool) -> None:
        """Take less after a slow batch and more after a fast one.

        A batch that has not `moved` on in time (many rows of one timestamp) was slow because of what it walked over,
        not because of what it took: less would only mean more of it.
        """
        if self.fixed:
            return
        if seconds > TARGET_SECONDS and moved:
            self.size = max(self.size // 2, SMALLEST_SIZE)
        elif seconds < TARGET_SECONDS / 2 or not moved:
            self.size = min(self.size * 2, LARGEST_SIZE)


@dataclass
class Tally:
    """What has been deleted and committed so far."""

    deleted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    batches: int = 0

    def __str__(self) -> str:
        return " and ".join(f"{number:,} {kind}" for kind, number in self.deleted.items())


def count(connection: Connection, kind: str, days: Mapping[str, int]) -> int:
    """How many rows of a kind a cleanup would delete; a guest whose jobs would go counts as without them.

    `days` holds `days` (jobs) and `guest_days`. Raises what `explained` raises.
    """
    connection.isolation_level = IsolationLevel.READ_COMMITTED  # a replica knows no SERIALIZABLE
    with explained(connection), connection.transaction():
        load("cleanup/counting").dicts(connection, {})
        total: int = load(f"cleanup/{kind}/count").dicts(connection, days)[0]["total"]
    return total


def sweep(
    connection: Connection, kind: str, days: Mapping[str, int], tally: Tally, batch_size: int | None = None
) -> Iterator[int]:
    """Delete the expired rows of a kind, oldest first, passing over locked ones; yields each batch's number.

    A batch is committed, and in the tally, when it is yielded: whoever stops iterating stops between two of
    them. Another cleanup at the same time does no harm. Raises what `explained` raises, with what was deleted by then.
    """
    statements = [s for stem, s in load_all(f"cleanup/{kind}").items() if stem.startswith("batch_")]
    settings = load("cleanup/settings")
    pace = Pace(batch_size)
    after, beyond = "-infinity", False
    # each statement of a batch has to see what was committed before it, whatever the role's default is
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    while True:
        known: dict[str, object] = {**days, "after": after, "beyond": beyond, "size": pace.size}
        seconds = 0.0
        with _told(connection, tally), connection.transaction():
            settings.dicts(connection, {})
            for statement in statements:
                [row] = statement.dicts(connection, known)
                seconds += row.pop("seconds")
                known |= row
                if not known["found"]:
                    return
        deleted, found = known["deleted"], known["found"]
        assert isinstance(deleted, int)  # noqa: S101  count(*)
        tally.deleted[kind] += deleted
        tally.batches += 1
        yield deleted
        moved = known["after"] != after
        if found != known["size"]:
            return
        beyond = not (moved or deleted)  # a whole batch of one timestamp, and all of it held: on to the next timestamp
        after = str(known["after"])
        pace.adapt(seconds, moved=moved)


@contextmanager
def _told(connection: Connection, tally: Tally) -> Iterator[None]:
    try:
        with explained(connection):
            yield
    except SupabaseJobsError as error:
        if not tally.batches:
            raise
        error.message += f"; {tally} had been deleted by then, and stay deleted"
        error.args = (error.message,)
        raise
