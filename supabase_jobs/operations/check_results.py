"""Hold a sample of the JSON in a database against the schemas in `supabase_jobs/operations/schemas/`, which are advice.

What is reported are paths and rules of the schemas with how many rows deviate, never a value.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from psycopg import IsolationLevel

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.operations.queries import explained, load

SCHEMAS = Path(__file__).with_name("schemas")

# (path, problem)
Problem = tuple[str, str]

# stands for JSON that PostgreSQL takes and Python does not
UNREADABLE = object()


@dataclass(frozen=True)
class Deviation:
    """`rows` of the sample break one rule of a schema; `example` is the id of one of them."""

    path: str
    problem: str
    rows: int
    example: str


@dataclass(frozen=True)
class Sample:
    """How many rows were looked at, how many of them deviate, and how, the most frequent first."""

    size: int
    deviating: int
    deviations: tuple[Deviation, ...]


def check(connection: Connection, size: int) -> Sample:
    """Check the newest `size` rows, or as many as there are, in a read-only transaction of at most 10 s.

    Raises ConfigError where jsonschema is not installed, and what `explained` raises.
    """
    _validators()  # before anything is asked of a database
    connection.read_only = True
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    with explained(connection), connection.transaction():
        load("stats/settings").dicts(connection, {})
        rows = load("check_results/newest").dicts(connection, {"size": size})
    return compare({"id": row["id"], **{column: read(row[column]) for column in _validators()}} for row in rows)


def read(text: str | None) -> Any:
    """A value from its JSON, or UNREADABLE: an owner may write numbers of any length, and nest as deep as it likes."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return UNREADABLE


def compare(rows: Iterable[Mapping[str, Any]]) -> Sample:
    """Hold rows (`id`, and a value for each schema's column) against the schemas."""
    counts: Counter[Problem] = Counter()
    examples: dict[Problem, str] = {}
    size = deviating = 0
    for row in rows:
        size += 1
        problems = {p for column in _validators() for p in _problems(column, row[column])}
        deviating += bool(problems)
        counts.update(problems)
        for problem in problems:
            examples.setdefault(problem, row["id"])
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Sample(size, deviating, tuple(Deviation(*problem, rows, examples[problem]) for problem, rows in ordered))


@cache
def _validators() -> dict[str, Any]:
    """A validator for each column that has a schema."""
    try:
        from jsonschema import Draft202012Validator
    except ImportError as error:
        raise ConfigError(
            "checking against JSON Schemas needs the package jsonschema, which is not installed",
            hint="pip install 'supabase-jobs[schemas]'",
        ) from error
    return {
        path.name.removesuffix(".schema.json"): Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(SCHEMAS.glob("*.schema.json"))
    }


def _problems(column: str, value: Any) -> Iterable[Problem]:
    if value is UNREADABLE:
        yield column, "holds a number too long, or is nested too deep, to be read"
        return
    for error in _validators()[column].iter_errors(value):
        # Only properties that a schema names are looked into, so a path holds no word of the data.
        path = "".join("[]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
        rule, wanted = error.validator, error.validator_value
        if rule == "required":
            yield from ((f"{column}{path}.{name}", "is missing") for name in wanted if name not in error.instance)
        else:
            yield f"{column}{path}", _in_words(rule, wanted)


def _in_words(rule: str, wanted: Any) -> str:
    """What is wrong, from the schema alone: the library's own message quotes the value."""
    if rule == "type":
        return f"is not {' or '.join([wanted] if isinstance(wanted, str) else wanted)}"
    words = {"minimum": "is less than {}", "minLength": "is shorter than {}", "pattern": "does not match {}"}
    return words.get(rule, f"breaks the rule {rule}: {{}}").format(wanted)
