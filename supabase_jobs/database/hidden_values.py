"""Whether messages may show texts of the database that can hold values of rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_hides_values: ContextVar[bool] = ContextVar("hides_values", default=False)


@contextmanager
def hidden_values() -> Iterator[Callable[[], None]]:
    """While the block runs, messages leave out what may hold values of rows: the database has rows
    of the project.

    Yields a function that ends this early, for a database that turns out to have none.
    """
    token = _hides_values.set(True)

    def show() -> None:
        _hides_values.set(False)

    try:
        yield show
    finally:
        _hides_values.reset(token)


def values_are_hidden() -> bool:
    """Whether messages leave out texts that may hold values of rows."""
    return _hides_values.get()
