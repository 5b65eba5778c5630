"""Who is in the way of a statement that waits for a lock, seen while it waits."""

import re
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psycopg

from supabase_jobs.database import Connection, twin
from supabase_jobs.errors import SupabaseJobsError

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
class Blocker:
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


class Watch:
    """Looks, on a second connection, for whoever blocks this one, once it has waited for half its lock timeout.

    A statement that does not wait costs no connection. Entered inside the transaction to watch:
    through a pooler only that says which server process it is. `seen` is filled with what was seen last.
    """

    def __init__(self, connection: Connection, lock_timeout_ms: int, seen: list[Blocker]) -> None:
        self._connection = connection
        self._patience = lock_timeout_ms / 1000
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
        if self._done.wait(self._patience / 2):
            return
        try:
            with twin(self._connection) as other:
                while True:
                    if rows := other.execute(_BLOCKING, (self._pid,)).fetchall():
                        self._seen[:] = [Blocker(*row) for row in rows]
                    if self._done.wait(self._patience / 10):
                        return
        except (psycopg.Error, SupabaseJobsError):
            # no second connection to be had: then the message names nobody
            return


def describe(blockers: list[Blocker]) -> str:
    """The blockers as lines to stand below a message; what to say where none was seen."""
    if not blockers:
        return "who holds it could not be seen"
    return "it is held by\n" + "\n".join(f"  {blocker}" for blocker in blockers)
