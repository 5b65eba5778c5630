"""A connection that notices when its server no longer answers.

TCP notices a network that is gone, but not a proxy or a pooler that stopped forwarding. A statement
may take hours, so silence alone proves nothing: a new connection must fail too.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PipelineStatus, TransactionStatus

from supabase_jobs.database.conninfo import options_of

# without a byte of the server, before a new connection is tried
SILENCE_SECONDS = 15.0
_CONNECT_SECONDS = 5

T = TypeVar("T")


class ListeningConnection(psycopg.Connection[tuple[Any, ...]]):
    """Raises OperationalError, and is closed, if its server answers neither it nor a new
    connection.
    """

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """Wait for the answer to an exchange; an interrupt cancels it."""
        try:
            return super().wait(self._listening(gen), *args, **options)
        except KeyboardInterrupt:
            self._end_exchange()
            raise

    def _end_exchange(self) -> None:
        """Leave a connection that the next statement can use. An interrupt inside of `_listening`
        ends it, so that psycopg cannot wait for the end of what it cancels.
        """
        is_single = self.pgconn.pipeline_status == PipelineStatus.OFF
        if is_single and self.pgconn.transaction_status == TransactionStatus.ACTIVE:
            self.cancel_safe(timeout=_CONNECT_SECONDS)
            while self.pgconn.get_result() is not None:
                pass

    def _listening(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """The same exchange; psycopg sends 0 to it whenever nothing happened for a moment."""
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENCE_SECONDS:
                    if not self._server_answers():
                        gen.close()
                        self.pgconn.finish()
                        raise psycopg.OperationalError("the server does not answer")
                    heard = time.monotonic()
                wanted = gen.send(ready)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _server_answers(self) -> bool:
        """Whether a new connection gets an answer, if only a refusal such as too many clients."""
        options = options_of(self) | {"connect_timeout": str(_CONNECT_SECONDS)}
        try:
            psycopg.connect(make_conninfo("", **options)).close()
        except psycopg.OperationalError as error:
            return "FATAL" in str(error)
        return True
