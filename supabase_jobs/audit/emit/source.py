"""Parts of tests as source text, in SQL and in Python, for all that write tests."""

import json
from collections.abc import Mapping
from itertools import count
from pprint import pformat
from typing import Any

from psycopg import sql

from supabase_jobs.audit.emit.recording import RowText


def literal(value: str | bool) -> str:
    """A literal of SQL."""
    return sql.Literal(value).as_string(None).strip()


def identifier(name: str) -> str:
    """A name in SQL, in quotes."""
    return sql.Identifier(name).as_string(None)


def dollar(text: str) -> str:
    """A literal of SQL in dollar quotes."""
    tags = (f"${'q' * number}$" for number in count())
    tag = next(tag for tag in tags if tag not in f"{text}$")
    return f"{tag}{text}{tag}"


def setting(name: str, value: str) -> str:
    """The statement that makes a setting for the rest of the transaction."""
    return f"set local {identifier(name)} to {literal(value)}"


def insertion(row: RowText) -> list[str]:
    """The insertion of a row, between the settings of a request that a trigger reads."""
    made = [setting(name, value) for name, value in row.settings]
    return [*made, row.sql, *(setting(name, "") for name, _ in row.settings)]


def in_three_quotes(text: str) -> str | None:
    """A literal of Python in three quotes; None if that needs an escape."""
    if "\\" in text or '"""' in text or text.endswith('"'):
        return None
    return f'"""{text}"""'


def python(value: object) -> str:
    """A literal of Python; a text with several lines is in three quotes if it can be."""
    if not isinstance(value, str):
        return pformat(value, width=10_000, sort_dicts=False)
    if "\n" in value and (quoted := in_three_quotes(value)):
        return quoted
    return json.dumps(value, ensure_ascii=False) if '"' not in value else repr(value)


def python_call(function: str, *arguments: str, **given: Mapping[str, Any] | None) -> str:
    """A call in Python. Named arguments that are empty are left out."""
    named = [f"{name}={python(dict(value))}" for name, value in given.items() if value]
    return f"{function}({', '.join([*arguments, *named])})"


def one_line(text: str) -> str:
    """A text for a comment."""
    return " ".join(text.split())
