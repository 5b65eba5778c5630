"""Suites as text: pgTAP files, and modules for the pytest plugin; from the templates beside this
module.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from supabase_jobs.audit.emit import source
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
        "literal": source.literal,
        "dollar": source.dollar,
        "insertion": source.insertion,
        "python": source.python,
        "python_call": source.python_call,
        "one_line": source.one_line,
        "json": _json,
        "sql": printed,
    }
    return environment


def _json(value: Mapping[str, Any] | None) -> str:
    return json.dumps(dict(value or {}))
