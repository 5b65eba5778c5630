"""Count the round trips of this process exactly, by libpq's trace of its messages: neither distance
nor a busy machine changes them.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any

import psycopg
import pytest
from psycopg.pq import Trace
from psycopg.pq.abc import PGconn

# a message of the frontend or the backend; any other line is part of a query
_MESSAGE = re.compile(r"^([FB])\t\d+\t(\w+)", re.MULTILINE)
# the server answers each of them with ReadyForQuery, once
_ASKING = ("Query", "Sync", "FunctionCall")


@dataclass(frozen=True)
class TracedConnection:
    """A connection to a port and a database, and the trace of its messages since it was opened."""

    port: int
    database: str
    trace: IO[bytes]

    @property
    def round_trips(self) -> int:
        """Those so far, without those that opened it."""
        self.trace.seek(0)
        return _round_trips(self.trace.read().decode(errors="replace"))


@contextmanager
def traced() -> Iterator[list[TracedConnection]]:
    """The list gets each connection that this process opens in the block; count before its end."""
    connections: list[TracedConnection] = []
    original = psycopg.Connection.__init__
    with ExitStack() as at_end, pytest.MonkeyPatch.context() as patch:

        def opened(connection: psycopg.Connection[Any], pgconn: PGconn, *more: Any) -> None:
            original(connection, pgconn, *more)
            # libpq writes to the file while it traces, and never closes it
            trace = at_end.enter_context(TemporaryFile("a+b"))
            at_end.callback(pgconn.untrace)
            pgconn.trace(trace.fileno())
            pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
            info = connection.info
            connections.append(TracedConnection(info.port, info.dbname, trace))

        patch.setattr(psycopg.Connection, "__init__", opened)
        yield connections


def _round_trips(trace: str) -> int:
    """A round trip ends when the server is ready for a query, or for data to copy, and has no
    other to answer.

    What it sends earlier, while the frontend is still sending, is part of the same.
    """
    trips = asked = 0
    is_sending = False
    for side, name in _MESSAGE.findall(trace):
        if side == "F":
            asked += name in _ASKING
            # the end of a connection gets no answer
            if not is_sending and name != "Terminate":
                trips += 1
                is_sending = True
        elif name == "ReadyForQuery":
            asked -= 1
            is_sending = asked > 0
        elif name in ("CopyInResponse", "CopyBothResponse"):
            is_sending = False
    return trips
