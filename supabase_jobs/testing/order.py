"""The order of test files in a run of `mutate --run`: those that use the faulty object first."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from supabase_jobs.settings import LEARN_VARIABLE, ORDER_VARIABLE, REVERSED_ORDER

_WORD = re.compile(r'"((?:[^"]|"")+)"|([a-z_\x80-\uffff][\w$]*)', re.IGNORECASE)


def words(sql: str) -> set[str]:
    """The names and keywords of a statement, as PostgreSQL folds them."""
    return {
        quoted.replace('""', '"') if quoted else plain.lower()
        for quoted, plain in _WORD.findall(sql)
    }


def register(config: Any) -> None:
    """Learn or follow an order, if the environment says so."""
    order = os.environ.get(ORDER_VARIABLE)
    if order:
        config.pluginmanager.register(_Following(order))
        if order != REVERSED_ORDER and not config.option.maxfail:
            config.option.maxfail = 1
    if file := os.environ.get(LEARN_VARIABLE):
        config.pluginmanager.register(_Learning(file))


def _file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


class _Following:
    """Moves whole files, because the fixtures of a module are shared by its tests."""

    def __init__(self, order: str) -> None:
        self._order = order

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        files = list(dict.fromkeys(_file_of(item.nodeid) for item in items))
        first = files[::-1] if self._order == REVERSED_ORDER else json.loads(self._order)
        places = {file: place for place, file in enumerate(first)}
        items.sort(key=lambda item: places.get(_file_of(item.nodeid), len(places)))


class _Learning:
    """Hears every statement that psycopg sends."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._heard: dict[str, set[str]] = {}
        self._current: set[str] = set()
        for kind in (psycopg.Cursor, psycopg.AsyncCursor):
            kind.execute = self._hearing(kind.execute)  # type: ignore[method-assign]

    def _hearing(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def hear(cursor: Any, query: Any, *given: Any, **more: Any) -> Any:
            text = query.as_string(None) if hasattr(query, "as_string") else query
            self._current |= words(
                text.decode(errors="replace") if isinstance(text, bytes) else text
            )
            return execute(cursor, query, *given, **more)

        return hear

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._current = self._heard.setdefault(_file_of(nodeid), set())

    def pytest_sessionfinish(self) -> None:
        found = {file: sorted(heard) for file, heard in self._heard.items()}
        with Path(self._file).open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
