"""Interrupts by a signal, which arrive at any moment of an exchange with the server."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from selectors import EVENT_READ, DefaultSelector
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

_INTERRUPTS = (KeyboardInterrupt, SystemExit)
_CANCEL_SECONDS = 5.0
# without an answer, before the server is asked again to cancel
_AGAIN_SECONDS = 0.2


def interrupt_behind(error: BaseException) -> BaseException | None:
    """The interrupt that the error is, or during which it was raised; None if there is none.

    After an interrupt, a statement that cleans up may fail, because the connection still expects
    answers.
    """
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, _INTERRUPTS):
        behind = behind.__context__
    return behind


@contextmanager
def pipeline(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """A block in psycopg's pipeline mode. For an interrupt, see `closed_by_interrupt`.

    psycopg alone waits for the statements of the block, and replaces an interrupt at the end of it
    by an error.
    """
    with closed_by_interrupt(connection), connection.pipeline(), closed_by_interrupt(connection):
        yield


@contextmanager
def closed_by_interrupt(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """If an interrupt ends the block, cancel the running statement, close the connection and raise
    the interrupt.

    For statements whose answers arrive together: after an interrupt nobody knows which of them are
    still on their way, so no further statement can run. `connection.broken` is true afterwards; the
    server rolls back the transaction.
    """
    try:
        yield
    except BaseException as error:
        if (interrupt := interrupt_behind(error)) is None:
            raise
        try:
            if connection.info.transaction_status == TransactionStatus.ACTIVE:
                with suppress(psycopg.Error):
                    _cancel(connection)
        finally:  # also if a second interrupt ends the wait for the server's answer
            connection.pgconn.finish()
        if interrupt is error:
            raise
        raise interrupt from None


def _cancel(connection: psycopg.Connection[Any]) -> None:
    """Cancel the running statement. Repeated until the server answers, because it ignores a request
    that comes before it has begun the statement.
    """
    deadline = time.monotonic() + _CANCEL_SECONDS
    with DefaultSelector() as selector:
        selector.register(connection.fileno(), EVENT_READ)
        while time.monotonic() < deadline:
            connection.cancel_safe(timeout=_CANCEL_SECONDS)
            if selector.select(_AGAIN_SECONDS):
                return
