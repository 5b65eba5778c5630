"""Validate a sample of result and metadata against the JSON Schemas in `schemas/`, which are
advice.

The report holds paths, broken rules and numbers of rows, never a value.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import IsolationLevel

from supabase_jobs.database.batch import read as read_rows
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.give_way import GiveWay, giving_way
from supabase_jobs.database.limits import limits
from supabase_jobs.operations.statements import requires_migrations, statement

SCHEMAS = Path(__file__).with_name("schemas")

# (path, problem)
Problem = tuple[str, str]

# JSON that PostgreSQL accepts and Python does not
UNREADABLE = object()


@dataclass(frozen=True)
class Deviation:
    """`rows` jobs of the sample break one rule of a schema; `example` is the id of one of them."""

    path: str
    problem: str
    rows: int
    example: str


@dataclass(frozen=True)
class Sample:
    """The number of sampled jobs, how many of them deviate, and the deviations, most frequent
    first.
    """

    size: int
    deviating: int
    deviations: tuple[Deviation, ...]


def check(connection: Connection, size: int) -> Sample:
    """Check the `size` newest completed jobs, or all if there are fewer, in a read-only transaction
    of at most 10 s, which gives way to sessions that wait for it.

    Raises what `requires_migrations` and `giving_way` raise.
    """
    connection.read_only = True
    connection.isolation_level = IsolationLevel.READ_COMMITTED

    def newest(watched: GiveWay) -> list[dict[str, Any]]:
        settings = [limits(), statement("stats/settings").statement(), watched.statement]
        try:
            with connection.transaction():
                read_rows(connection, settings)
                return statement("check_results/newest").dicts(connection, {"size": size})
        except psycopg.errors.QueryCanceled as error:
            watched.raise_if_gave_way(error, "check-results")
            raise

    with requires_migrations(connection):
        rows = giving_way(connection, "check-results", newest)
    parsed = []
    for row in rows:
        values = {column: read(row[column]) for column in _validators()}
        parsed.append({"id": row["id"], **values})
    return compare(parsed)


def read(text: str | None) -> Any:
    """Parse a JSON text; UNREADABLE if a number is too long or the nesting too deep for Python."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return UNREADABLE


def compare(rows: Iterable[Mapping[str, Any]]) -> Sample:
    """Validate rows (`id`, and a value for the column of each schema)."""
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
    return Sample(
        size,
        deviating,
        tuple(Deviation(*problem, rows, examples[problem]) for problem, rows in ordered),
    )


@cache
def _validators() -> dict[str, Any]:
    """The validator of each column that has a schema."""
    from jsonschema import Draft202012Validator  # a tenth of a second

    return {
        path.name.removesuffix(".schema.json"): Draft202012Validator(
            json.loads(path.read_text(encoding="utf-8"))
        )
        for path in sorted(SCHEMAS.glob("*.schema.json"))
    }


def _problems(column: str, value: Any) -> Iterable[Problem]:
    if value is UNREADABLE:
        yield column, "cannot be read: a number is too long, or the nesting too deep"
        return
    for error in _validators()[column].iter_errors(value):
        # The schemas descend only into properties that they name, so a path discloses no key of the
        # data.
        path = "".join(
            "[]" if isinstance(step, int) else f".{step}" for step in error.absolute_path
        )
        rule, expected = error.validator, error.validator_value
        if rule == "required":
            yield from (
                (f"{column}{path}.{name}", "is missing")
                for name in expected
                if name not in error.instance
            )
        else:
            yield f"{column}{path}", _problem(rule, expected)


def _problem(rule: str, expected: Any) -> str:
    """Describe a broken rule from the schema alone; the library's message quotes the value."""
    if rule == "type":
        return f"is not {' or '.join([expected] if isinstance(expected, str) else expected)}"
    formats = {
        "minimum": "is less than {}",
        "minLength": "is shorter than {}",
        "pattern": "does not match {}",
    }
    return formats.get(rule, f"breaks the rule {rule}: {{}}").format(expected)
