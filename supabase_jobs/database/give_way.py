"""End a transaction for whose locks other sessions wait, from a second connection."""

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import psycopg

from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection, second_connection
from supabase_jobs.database.time_limits import time_limits
from supabase_jobs.errors import BusyError, SupabaseJobsError

_LOOP = Path(__file__).with_name("give_way.sql")
_KEY = "select pg_catalog.set_config('supabase_jobs.watched', %s, true)"
_WATCHED = "select pg_catalog.pg_advisory_xact_lock(%s)"
_LATER = "Run it when traffic is lower."
# times that a transaction is begun
MOST_OFTEN = 3
_START_SECONDS = 2.0
_END_SECONDS = 1.0
# the watched statement was cancelled, or its session was ended
_SQLSTATES = (psycopg.errors.QueryCanceled.sqlstate, psycopg.errors.AdminShutdown.sqlstate)

T = TypeVar("T")


class GaveWayError(Exception):
    """The transaction was ended, because other sessions waited for its locks."""


def busy(what: str, times: int, hint: str) -> BusyError:
    """The error (5) of a transaction that gave way several times."""
    often = "once" if times == 1 else f"{times} times"
    return BusyError(
        f"{what} gave way {often}: other sessions waited for its locks. Nothing was changed",
        hint=hint,
    )


def giving_way(connection: Connection, what: str, read: Callable[["GiveWay"], T]) -> T:
    """The result of a transaction that reads, and is repeated if it gave way.

    Raises BusyError (5) if it gave way each time.
    """
    for _ in range(MOST_OFTEN):
        with GiveWay(connection) as watched:
            try:
                return read(watched)
            except GaveWayError:
                continue
    raise busy(what, MOST_OFTEN, _LATER)


class GiveWay:
    """Watches a transaction, which marks itself with `statement`, for the time of the block.

    Through a pooler, the client does not know its server process, so an advisory lock names the
    transaction. Without a second connection nothing is watched.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._key = secrets.randbits(62)
        self._gave_way = threading.Event()
        self._started = threading.Event()
        self._second: Connection | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def statement(self) -> Statement:
        """The statement with which the transaction begins."""
        return Statement(_WATCHED, [self._key])

    def raise_if_gave_way(self, error: Exception, what: str, hint: str = _LATER) -> None:
        """Raise GaveWayError if that is the reason of the error, BusyError (5) if the session has
        ended.
        """
        if getattr(error, "sqlstate", None) not in _SQLSTATES:
            return
        if not self._gave_way.wait(_END_SECONDS):
            return
        if self._connection.broken:
            raise busy(what, 1, hint) from None
        raise GaveWayError from error

    def __enter__(self) -> Self:
        self._thread.start()
        # in a pool of one connection, it would wait for the one that is in use here
        self._started.wait(_START_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.join(0.1)  # the loop ends with the transaction
        second = self._second
        if second is not None and self._thread.is_alive():
            with suppress(psycopg.Error):
                second.cancel_safe(timeout=_END_SECONDS)
        self._thread.join(_END_SECONDS)

    def _watch(self) -> None:
        def note(notice: Any) -> None:
            if notice.severity_nonlocalized == "INFO":
                self._gave_way.set()

        try:
            with second_connection(self._connection) as second:
                second.add_notice_handler(note)
                self._second = second
                self._started.set()
                # one transaction, which ends with the loop although its client stands still
                loop = Statement(_LOOP.read_text(encoding="utf-8"))
                run_groups(second, [[time_limits(), Statement(_KEY, [str(self._key)]), loop]])
        except (psycopg.Error, SupabaseJobsError):
            return  # it was cancelled, or there is no second connection
        finally:
            self._started.set()
