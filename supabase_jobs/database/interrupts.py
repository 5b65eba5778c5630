"""Interrupts by a signal, which arrive at any moment of an exchange with the server."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

_INTERRUPTS = (KeyboardInterrupt, SystemExit)
_CANCEL_SECONDS = 5.0


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
        if connection.info.transaction_status == TransactionStatus.ACTIVE:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=_CANCEL_SECONDS)
        connection.pgconn.finish()
        if interrupt is error:
            raise
        raise interrupt from None
