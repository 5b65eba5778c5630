"""Sessions that block others, for messages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from supabase_jobs.database.hidden_values import values_are_hidden
from supabase_jobs.database.masking import mask_sql

_QUERY_LENGTH = 80
_LIMITS = (
    "select set_config('lock_timeout', '1s', true), set_config('statement_timeout', '5s', true)"
)
_SESSIONS = Path(__file__).with_name("blocking_sessions.sql")


@dataclass(frozen=True)
class BlockingSession:
    """A session that holds a lock; `seconds` is the age of its transaction."""

    pid: int
    application_name: str
    state: str
    seconds: float
    query: str

    def __str__(self) -> str:
        if values_are_hidden():  # literals of the query are values
            return (
                f"pid {self.pid} ({self.application_name}, {self.state}, for {self.seconds:.0f} s)"
            )
        query = mask_sql(" ".join(self.query.split()))
        short = query if len(query) <= _QUERY_LENGTH else query[: _QUERY_LENGTH - 1] + "…"
        return (
            f"pid {self.pid} ({self.application_name}, {self.state}, for"
            f" {self.seconds:.0f} s): {short}"
        )


def locked_tables(connection: psycopg.Connection[Any]) -> str:
    """The end of a message: a line for each table that another session has locked, with that
    session; at most five.

    It is '' if there is none, and if the connection has an open transaction, which runs no query
    after an error.
    """
    if connection.info.transaction_status != TransactionStatus.IDLE:
        return ""
    try:
        with connection.transaction():
            connection.execute(_LIMITS)
            rows = connection.execute(_SESSIONS.read_bytes()).fetchall()
    except psycopg.Error:  # the message does without them
        return ""
    lines = [f"  {table} ({mode}): {BlockingSession(*s)}" for table, mode, *s in rows]
    return "\n".join(["; locked tables:", *lines]) if lines else ""
