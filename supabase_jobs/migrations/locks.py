"""Lock waits: the runner lock, the lock timeout with its retries, and the sessions that block."""

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

# Any number will do as long as every runner takes the same; advisory locks are per database.
LOCK_KEY = 0x5355_5041_4A4F_4253
_TRY_LOCK = "select pg_catalog.pg_try_advisory_xact_lock(%s)"
_POLL_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0

T = TypeVar("T")

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


@dataclass(frozen=True)
class BlockingSession:
    """A session that holds a lock: its transaction is `seconds` old."""

    pid: int
    application_name: str
    state: str
    seconds: float
    query: str

    def __str__(self) -> str:
        query = _PASSWORD.sub(r"\1'***'", " ".join(self.query.split()))
        cut = query if len(query) <= _QUERY_LENGTH else query[: _QUERY_LENGTH - 1] + "…"
        return f"pid {self.pid} ({self.application_name}, {self.state}, for {self.seconds:.0f} s): {cut}"


class BlockingSessionWatch:
    """Looks, on a second connection, for whoever blocks this one, once it has waited for half its lock timeout.

    A statement that does not wait costs no connection. Entered inside the transaction to watch:
    through a pooler only that says which server process it is. `seen` is filled with what was seen last.
    """

    def __init__(self, connection: Connection, lock_timeout_ms: int, seen: list[BlockingSession]) -> None:
        self._connection = connection
        self._lock_options = lock_timeout_ms / 1000
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._pid = 0
        self._seen = seen

    def __enter__(self) -> Self:
        row = self._connection.execute(_PID).fetchone()
        self._pid = row[0] if row else 0
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        # not for long: where the pooler has no second connection to give, it waits for the one that is ours
        self._thread.join(0.2)

    def _look(self) -> None:
        if self._done.wait(self._lock_options / 2):
            return
        try:
            with second_connection(self._connection) as other:
                while True:
                    if rows := other.execute(_BLOCKING, (self._pid,)).fetchall():
                        self._seen[:] = [BlockingSession(*row) for row in rows]
                    if self._done.wait(self._lock_options / 10):
                        return
        except (psycopg.Error, SupabaseJobsError):
            # no second connection to be had: then the message names nobody
            return


def describe(blocking: list[BlockingSession]) -> str:
    """The blocking as lines to stand below a message; what to say where none was seen."""
    if not blocking:
        return "who holds it could not be seen"
    return "it is held by\n" + "\n".join(f"  {session}" for session in blocking)


@dataclass(frozen=True)
class LockOptions:
    """How long to wait for others: for a table lock, how often to try again, for another runner."""

    lock_timeout_ms: int = 4000
    retries: int = 5
    runner_seconds: float = 30.0


def with_runner_lock(
    connection: Connection,
    lock_options: LockOptions,
    what: str,
    work: Callable[[list[BlockingSession]], T],
    *,
    rollback: bool = False,
) -> T:
    """Do some work in a transaction that holds the runners' lock; try again where others are in the way.

    The lock is tried, never waited on (a waiter makes `create index concurrently` deadlock), and belongs to
    the transaction, so that it holds through a transaction-mode pooler and is never left behind. `work`
    fills its list with whoever blocks it. With `rollback` the transaction ends in a rollback in any case.
    """
    deadline: float | None = None
    pauses = _growing_pauses(lock_options.retries)
    while True:
        seen: list[BlockingSession] = []
        try:
            with connection.transaction(force_rollback=rollback):
                if connection.execute(_TRY_LOCK, (LOCK_KEY,)).fetchone() == (True,):
                    return work(seen)
        except LOCK_ERRORS as error:
            deadline = None
            pause = next(pauses, None)
            if pause is None:
                waited = f"could not get a lock within {lock_options.lock_timeout_ms} ms"
                if not isinstance(error, psycopg.errors.LockNotAvailable):
                    waited = f"{error.diag.message_primary}"
                raise BusyError(
                    f"{what}: {waited}, tried {lock_options.retries + 1} times; {describe(seen)}",
                    hint="Nothing of it was kept. Try again when traffic is lower, or raise --lock-timeout.",
                    sqlstate=error.sqlstate,
                ) from None
        else:
            deadline = deadline or time.monotonic() + lock_options.runner_seconds
            if time.monotonic() > deadline:
                raise BusyError(
                    f"another supabase-jobs has been applying migrations for {lock_options.runner_seconds:.0f} s",
                    hint="Wait for it to finish; `supabase-jobs status` shows how far it is.",
                )
            pause = _POLL_SECONDS * _jitter()
        time.sleep(pause)


def _growing_pauses(retries: int) -> Iterator[float]:
    for attempt in range(retries):
        yield min(0.5 * 2.0**attempt, _LONGEST_PAUSE_SECONDS) * _jitter()


def _jitter() -> float:
    return random.uniform(0.5, 1.5)  # noqa: S311  so that runners do not try in step; no secret
