"""Lock waits: the runner lock, the retry after a lock timeout, and the blocking sessions."""

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import psycopg

from supabase_jobs.database.connection import Connection, second_connection
from supabase_jobs.database.errors import LOCK_ERRORS
from supabase_jobs.errors import BusyError, SupabaseJobsError

# The same number for every runner; advisory locks are per database.
LOCK_KEY = 0x5355_5041_4A4F_4253
_TRY_LOCK = "select pg_catalog.pg_try_advisory_xact_lock(%s)"
_POLL_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0

_PID = "select pg_catalog.pg_backend_pid()"
_BLOCKING = """
select
  a.pid,
  coalesce(nullif(a.application_name, ''), 'no name'),
  coalesce(a.state, 'state not visible'),
  coalesce(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start), 0)::float8,
  coalesce(a.query, '')
from unnest(pg_catalog.pg_blocking_pids(%s)) as b (pid)
inner join pg_catalog.pg_stat_activity as a on a.pid = b.pid
order by a.xact_start
"""
_QUERY_LENGTH = 80
_PASSWORD = re.compile(r"(password\s*=?\s*)'(?:[^']|'')*'?", re.IGNORECASE)

T = TypeVar("T")


@dataclass(frozen=True)
class LockOptions:
    """How long to wait for a lock, how often to retry after that, and how long to wait for another runner."""

    lock_timeout_ms: int = 4000
    retries: int = 5
    runner_seconds: float = 30.0


@dataclass(frozen=True)
class BlockingSession:
    """A session that holds a lock; `seconds` is the age of its transaction."""

    pid: int
    application_name: str
    state: str
    seconds: float
    query: str

    def __str__(self) -> str:
        query = _PASSWORD.sub(r"\1'***'", " ".join(self.query.split()))
        short = query if len(query) <= _QUERY_LENGTH else query[: _QUERY_LENGTH - 1] + "…"
        return f"pid {self.pid} ({self.application_name}, {self.state}, for {self.seconds:.0f} s): {short}"


def with_runner_lock(
    connection: Connection,
    lock_options: LockOptions,
    what: str,
    work: Callable[[list[BlockingSession]], T],
    *,
    rollback: bool = False,
) -> T:
    """Run `work` in a transaction that holds the runner lock; retry it after a lock error.

    The runner lock is polled, because waiting for it would make `create index concurrently` deadlock. It belongs to the
    transaction, so it also works through a transaction-mode pooler and is always released. `work` fills its list
    with the sessions that block it. With `rollback` the transaction always ends in a rollback.
    Raises BusyError (5) after the last retry, or if another runner holds the lock for too long.
    """
    deadline: float | None = None
    pauses = _growing_pauses(lock_options.retries)
    while True:
        blocking: list[BlockingSession] = []
        try:
            with connection.transaction(force_rollback=rollback):
                if connection.execute(_TRY_LOCK, (LOCK_KEY,)).fetchone() == (True,):
                    return work(blocking)
        except LOCK_ERRORS as error:
            deadline = None
            pause = next(pauses, None)
            if pause is None:
                timed_out = isinstance(error, psycopg.errors.LockNotAvailable)
                cause = (
                    f"could not get a lock within {lock_options.lock_timeout_ms} ms"
                    if timed_out
                    else f"{error.diag.message_primary}"
                )
                raise BusyError(
                    f"{what}: {cause}, tried {lock_options.retries + 1} times; {_describe(blocking)}",
                    hint="It was rolled back. Try again when traffic is lower, or raise --lock-timeout.",
                    sqlstate=error.sqlstate,
                ) from None
        else:
            deadline = deadline or time.monotonic() + lock_options.runner_seconds
            if time.monotonic() > deadline:
                raise BusyError(
                    f"another supabase-jobs has been applying migrations for {lock_options.runner_seconds:.0f} s",
                    hint="Wait until it has finished; `supabase-jobs status` shows its progress.",
                )
            pause = _POLL_SECONDS * _jitter()
        time.sleep(pause)


class BlockingSessionWatch:
    """Find the sessions that block a transaction once a statement may have waited for half the lock timeout.

    Enter it inside the transaction: only then does a pooler name the right server process. It opens a second connection
    only after that time. `blocking` holds the sessions that were seen last.
    """

    def __init__(self, connection: Connection, lock_timeout_ms: int, blocking: list[BlockingSession]) -> None:
        self._connection = connection
        self._timeout_seconds = lock_timeout_ms / 1000
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._pid = 0
        self._blocking = blocking

    def __enter__(self) -> Self:
        row = self._connection.execute(_PID).fetchone()
        self._pid = row[0] if row else 0
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        # briefly: in a pool of one connection the thread waits for the connection that is in use here
        self._thread.join(0.2)

    def _watch(self) -> None:
        if self._done.wait(self._timeout_seconds / 2):
            return
        try:
            with second_connection(self._connection) as second:
                while True:
                    if rows := second.execute(_BLOCKING, (self._pid,)).fetchall():
                        self._blocking[:] = [BlockingSession(*row) for row in rows]
                    if self._done.wait(self._timeout_seconds / 10):
                        return
        except (psycopg.Error, SupabaseJobsError):
            # without a second connection the message names no session
            return


def _describe(blocking: list[BlockingSession]) -> str:
    if not blocking:
        return "the blocking session could not be determined"
    return "blocked by\n" + "\n".join(f"  {session}" for session in blocking)


def _growing_pauses(retries: int) -> Iterator[float]:
    for attempt in range(retries):
        yield min(0.5 * 2.0**attempt, _LONGEST_PAUSE_SECONDS) * _jitter()


def _jitter() -> float:
    return random.uniform(0.5, 1.5)  # noqa: S311  keeps runners from retrying in step; not a secret
