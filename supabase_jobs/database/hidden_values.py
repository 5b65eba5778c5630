"""Whether messages may show texts of the database that can hold values of rows."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_hides_values: ContextVar[bool] = ContextVar("hides_values", default=False)
# of the definitions of the database, if they are known
_definitions: ContextVar[frozenset[str]] = ContextVar("definitions", default=frozenset())
_WORD = re.compile(r"[^\W_]+")
_QUOTED = re.compile(r'"([^"]*)"')


@contextmanager
def hidden_values(definitions: frozenset[str] = frozenset()) -> Iterator[Callable[[], None]]:
    """While the block runs, messages leave out what may hold values of rows: the database has rows
    of the project. `definitions` are the words of its definitions, if they are known.

    Yields a function that ends this early, for a database that turns out to have none.
    """
    token, known = _hides_values.set(True), _definitions.set(definitions)

    def show() -> None:
        _hides_values.set(False)

    try:
        yield show
    finally:
        _hides_values.reset(token)
        _definitions.reset(known)


def values_are_hidden() -> bool:
    """Whether messages leave out texts that may hold values of rows."""
    return _hides_values.get()


def words(text: str) -> frozenset[str]:
    """The words of a text, in lower case."""
    return frozenset(_WORD.findall(text.lower()))


def names_are_public(message: str) -> bool:
    """Whether all names of a message of the server, which it quotes, are in the definitions."""
    names = _QUOTED.findall(message)
    return bool(names) and words(" ".join(names)) <= _definitions.get()
