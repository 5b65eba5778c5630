"""Suites as text: pgTAP files, and modules for the pytest plugin; from the templates beside this
module.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from pprint import pformat
from typing import Any

import jinja2
from psycopg import sql

from supabase_jobs.audit.emit.cases import TableSuite
from supabase_jobs.audit.emit.replay import TOUCHED, UNTOUCHED
from supabase_jobs.outcomes import DENIED, HIDDEN, ROWS, VIOLATES
from supabase_jobs.session.action import printed
from supabase_jobs.session.outcome import POLICY_MESSAGES

MARK = "Written by supabase-jobs"


@dataclass(frozen=True)
class Format:
    """A kind of suite: its template, and the name of the file of an object."""

    template: str
    file_name: Callable[[str], str]
    comment: str


FORMATS = {
    "pgtap": Format("table.sql.jinja", lambda name: f"access_{name}.sql", "--"),
    "pytest": Format("table.py.jinja", lambda name: f"test_access_{name}.py", "#"),
}


_OUTCOMES = {
    "ROWS": ROWS,
    "HIDDEN": HIDDEN,
    "DENIED": DENIED,
    "VIOLATES": VIOLATES,
    "TOUCHED": TOUCHED,
    "UNTOUCHED": UNTOUCHED,
}


def files(suites: Sequence[TableSuite], form: str) -> dict[str, str]:
    """File name → text, for each suite."""
    format_ = FORMATS[form]
    template = _environment().get_template(format_.template)
    return {
        format_.file_name(suite.name): template.render(suite=suite, mark=MARK) for suite in suites
    }


def is_written(text: str, form: str) -> bool:
    """Whether a file was written by this module."""
    return text.startswith(f"{FORMATS[form].comment} {MARK}: supabase-jobs audit --emit {form} ")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # SQL and Python, not HTML; each value has a filter that quotes it
        autoescape=False,  # noqa: S701
    )
    environment.globals |= {
        "outcomes": _OUTCOMES,
        "policy_messages": POLICY_MESSAGES,
    }
    environment.filters |= {
        "literal": _literal,
        "identifier": _identifier,
        "dollar": _dollar,
        "python": _python,
        "json": _json,
        "sql": printed,
        "one_line": _one_line,
    }
    return environment


def _literal(value: str | bool) -> str:
    return sql.Literal(value).as_string(None).strip()


def _identifier(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def _dollar(text: str) -> str:
    """A literal in dollar quotes."""
    tags = (f"${'q' * number}$" for number in count())
    tag = next(tag for tag in tags if tag not in f"{text}$")
    return f"{tag}{text}{tag}"


def _python(value: object) -> str:
    """A Python literal; of a text with several lines in three quotes, if that needs no escape."""
    if not isinstance(value, str):
        return pformat(value, width=10_000, sort_dicts=False)
    if "\n" in value and "\\" not in value and '"""' not in value and not value.endswith('"'):
        return f'"""{value}"""'
    return json.dumps(value, ensure_ascii=False) if '"' not in value else repr(value)


def _json(value: Mapping[str, Any] | None) -> str:
    return json.dumps(dict(value or {}))


def _one_line(text: str) -> str:
    return " ".join(text.split())
