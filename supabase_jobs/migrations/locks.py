"""Lock waits: the runner lock, the retry after a lock timeout, and the blocking sessions."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import psycopg

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.blocking import BlockingSession
from supabase_jobs.database.connection import Connection, second_connection
from supabase_jobs.database.errors import LOCK_ERRORS, public_message
from supabase_jobs.database.give_way import MOST_OFTEN, GaveWayError, busy
from supabase_jobs.database.time_limits import time_limits
from supabase_jobs.errors import BusyError, SupabaseJobsError
from supabase_jobs.sources.files import Migration

# The same number for every runner; advisory locks are per database.
LOCK_KEY = 0x5355_5041_4A4F_4253
TRY_LOCK = "select pg_catalog.pg_try_advisory_xact_lock(%s)"
_POLL_SECONDS = 0.2
# of a transaction that gave way
WITHOUT_LOCKS = (
    "Run it when traffic is lower. Without locks on this database: `supabase-jobs plan`"
    " lists the locks of the files, and `plan --access` tries them elsewhere."
)
_FIRST_PAUSE_SECONDS = 0.3
_LONGEST_PAUSE_SECONDS = 5.0
# of a wait: before the first line about it, and between two lines
_SILENT_SECONDS = 1.0
_TOLD_SECONDS = 5.0

# The transaction is that which holds the runner lock: through a pooler the client does not know its
# server process.
_BLOCKING = """
select
  a.pid,
  coalesce(nullif(a.application_name, ''), 'no name'),
  coalesce(a.state, 'state not visible'),
  coalesce(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start), 0)::float8,
  coalesce(a.query, '')
from pg_catalog.pg_locks as r
cross join unnest(pg_catalog.pg_blocking_pids(r.pid)) as b (pid)
inner join pg_catalog.pg_stat_activity as a on a.pid = b.pid
where r.locktype = 'advisory'
  and r.database = (
    select d.oid from pg_catalog.pg_database as d
    where d.datname = pg_catalog.current_database()
  )
  and (r.classid::pg_catalog.int8 << 32) | r.objid::pg_catalog.int8 = %s
  and r.objsubid = 1
  and r.granted
order by a.xact_start
"""

T = TypeVar("T")


@dataclass(frozen=True)
class LockOptions:
    """How long to wait for a lock, how often to retry after that, and how long to wait for another
    runner. A wait of more than a second is narrated.
    """

    lock_timeout_ms: int = 500
    retries: int = 20
    runner_seconds: float = 30.0
    narrate: Callable[[str], None] = lambda _line: None


def lock_timeout_statement(lock_options: LockOptions) -> Statement:
    """The statement that limits the open transaction, and its waits for locks."""
    return time_limits(lock_timeout=lock_options.lock_timeout_ms)


class RunnerBusyError(Exception):
    """Another runner holds the runner lock."""


def retry_while_locked(
    lock_options: LockOptions, what: str, attempt: Callable[[list[BlockingSession]], T]
) -> T:
    """Run `attempt` until it raises no lock error, no RunnerBusyError and no GaveWayError, with
    pauses that grow and vary.

    `attempt` leaves no transaction open when it raises, and fills its list with the sessions that
    block it. Raises BusyError (5) after the last retry, if another runner holds the lock for too
    long, or if other sessions needed its locks several times.
    """
    deadline: float | None = None
    gave_way = 0
    pauses = _growing_pauses(lock_options.retries)
    waiting = _Waiting(lock_options.narrate)
    tries = 0
    while True:
        tries += 1
        blocking: list[BlockingSession] = []
        try:
            return attempt(blocking)
        except LOCK_ERRORS as error:
            deadline = None
            pause = next(pauses, None)
            if pause is None:
                timed_out = isinstance(error, psycopg.errors.LockNotAvailable)
                cause = (
                    f"could not get a lock within {lock_options.lock_timeout_ms} ms"
                    if timed_out
                    else public_message(error)
                )
                tried = "once" if lock_options.retries == 0 else f"{lock_options.retries + 1} times"
                raise BusyError(
                    f"{_locked_file(error) or what}: {cause}, tried {tried}; {_describe(blocking)}",
                    hint="It was rolled back. Try again when traffic is lower, or raise"
                    " --lock-timeout.",
                    sqlstate=error.sqlstate,
                ) from None
            waiting.tell(_waits(what, blocking, tries + 1, lock_options))
        except GaveWayError:
            gave_way += 1
            pause = next(pauses, None)
            if pause is None or gave_way == MOST_OFTEN:
                raise busy(what, gave_way, WITHOUT_LOCKS) from None
        except RunnerBusyError:
            deadline = deadline or time.monotonic() + lock_options.runner_seconds
            if time.monotonic() > deadline:
                raise BusyError(
                    "another supabase-jobs has been applying migrations for"
                    f" {lock_options.runner_seconds:.0f} s",
                    hint="Wait until it has finished; `supabase-jobs status` shows its progress.",
                ) from None
            pause = _POLL_SECONDS * _jitter()
            waiting.tell(
                "another supabase-jobs is applying migrations; waiting for at most"
                f" {lock_options.runner_seconds:.0f} s"
            )
        time.sleep(pause)


class _Waiting:
    """Tells about a wait after a second, and again every five."""

    def __init__(self, narrate: Callable[[str], None]) -> None:
        self._narrate = narrate
        self._next = time.monotonic() + _SILENT_SECONDS

    def tell(self, line: str) -> None:
        """Narrate the line if it is time."""
        now = time.monotonic()
        if now >= self._next:
            self._narrate(line)
            self._next = now + _TOLD_SECONDS


def _waits(
    what: str, blocking: Sequence[BlockingSession], next_try: int, lock_options: LockOptions
) -> str:
    held = f", held by {blocking[0]}" if blocking else ""
    return f"{what}: waiting for a lock{held}; try {next_try} of {lock_options.retries + 1}"


def with_runner_lock(
    connection: Connection, lock_options: LockOptions, what: str, work: Callable[[], T]
) -> T:
    """Run `work` in a transaction that holds the runner lock; retry it after a lock error.

    The runner lock is polled, because waiting for it would make `create index concurrently`
    deadlock. It belongs to the transaction, so it also works through a transaction-mode pooler and
    is always released. Raises what `retry_while_locked` raises.
    """

    def attempt(_blocking: list[BlockingSession]) -> T:
        with connection.transaction():
            if connection.execute(TRY_LOCK, (LOCK_KEY,)).fetchone() != (True,):
                raise RunnerBusyError
            return work()

    return retry_while_locked(lock_options, what, attempt)


class BlockingSessionWatch:
    """Find the sessions that block this runner once a statement may have waited for half the lock
    timeout.

    A second connection is opened only after that time. `blocking` holds the sessions that were seen
    last.
    """

    def __init__(
        self, connection: Connection, lock_timeout_ms: int, blocking: list[BlockingSession]
    ) -> None:
        self._connection = connection
        self._timeout_seconds = lock_timeout_ms / 1000
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._blocking = blocking

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        # briefly: in a pool of one connection the thread waits for the connection that is in use
        # here
        self._thread.join(0.2)

    def _watch(self) -> None:
        if self._done.wait(self._timeout_seconds / 2):
            return
        try:
            with second_connection(self._connection) as second:
                while True:
                    if rows := second.execute(_BLOCKING, (LOCK_KEY,)).fetchall():
                        self._blocking[:] = [BlockingSession(*row) for row in rows]
                    if self._done.wait(self._timeout_seconds / 10):
                        return
        except (psycopg.Error, SupabaseJobsError):
            # without a second connection the message names no session
            return


def note_locked_file(error: psycopg.Error, migration: Migration) -> None:
    """Add the file whose statement failed to a lock error, for `retry_while_locked`."""
    error.add_note(migration.file_name)


def _locked_file(error: psycopg.Error) -> str | None:
    return next(iter(getattr(error, "__notes__", ())), None)


def _describe(blocking: list[BlockingSession]) -> str:
    if not blocking:
        return "the blocking session could not be determined"
    return "blocked by\n" + "\n".join(f"  {session}" for session in blocking)


def _growing_pauses(retries: int) -> Iterator[float]:
    for attempt in range(retries):
        yield min(_FIRST_PAUSE_SECONDS * 1.5**attempt, _LONGEST_PAUSE_SECONDS) * _jitter()


def _jitter() -> float:
    return random.uniform(0.5, 1.5)  # noqa: S311  keeps runners from retrying in step; not a secret
