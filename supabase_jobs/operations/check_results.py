"""Validate a sample of result and metadata against the JSON Schemas of the project, or those in
`schemas/`, which are advice.

The report holds paths, broken rules and numbers of rows, never a value.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import IsolationLevel

from supabase_jobs.database.batch import read as read_rows
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.give_way import GiveWay, giving_way
from supabase_jobs.database.time_limits import time_limits
from supabase_jobs.errors import ConfigError
from supabase_jobs.operations.statements import requires_migrations, statement

SCHEMAS = Path(__file__).with_name("schemas")

# (path, problem)
Problem = tuple[str, str]

# JSON that PostgreSQL accepts and Python does not
UNREADABLE = object()


@dataclass(frozen=True)
class ColumnSchema:
    """The JSON Schema of a column. `names` are the properties that it names."""

    column: str
    file: Path
    validator: Any
    names: frozenset[str]


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


def load_schemas(files: Mapping[str, Path]) -> tuple[ColumnSchema, ...]:
    """The schema of each column: a file of the project, or the packaged one.

    Raises ConfigError for a file that cannot be read or is no JSON Schema.
    """
    packaged = {path.name.partition(".")[0]: path for path in sorted(SCHEMAS.glob("*.json"))}
    return tuple(_load(column, path) for column, path in {**packaged, **files}.items())


def _load(column: str, file: Path) -> ColumnSchema:
    from jsonschema import Draft202012Validator  # a tenth of a second
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    try:
        schema = json.loads(file.read_text(encoding="utf-8-sig"))
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", file=str(file)) from error
    except ValueError as error:
        raise ConfigError(f"{file.name} is not valid JSON: {error}", file=str(file)) from error
    except SchemaError as error:
        place = "/".join(map(str, error.absolute_path)) or "the document"
        raise ConfigError(
            f"{file.name} is no JSON Schema: {place}: {error.message}", file=str(file)
        ) from error
    # an empty registry: no reference is fetched from the network
    validator = kind(schema, registry=Registry())
    return ColumnSchema(column, file, validator, frozenset(_names(schema)))


def _names(schema: Any) -> Iterator[str]:
    """The names of properties anywhere in a schema."""
    if isinstance(schema, list):
        for part in schema:
            yield from _names(part)
    elif isinstance(schema, dict):
        if isinstance(properties := schema.get("properties"), dict):
            yield from properties
        for part in schema.values():
            yield from _names(part)


def check(connection: Connection, size: int, schemas: Sequence[ColumnSchema]) -> Sample:
    """Check the `size` newest completed jobs, or all if there are fewer, in a read-only transaction
    of at most 10 s, which gives way to sessions that wait for it.

    Raises what `requires_migrations` and `giving_way` raise.
    """
    connection.read_only = True
    connection.isolation_level = IsolationLevel.READ_COMMITTED

    def newest(watched: GiveWay) -> list[dict[str, Any]]:
        settings = [time_limits(), statement("stats/settings").statement(), watched.statement]
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
        values = {schema.column: read(row[schema.column]) for schema in schemas}
        parsed.append({"id": row["id"], **values})
    return compare(parsed, schemas)


def read(text: str | None) -> Any:
    """Parse a JSON text; UNREADABLE if a number is too long or the nesting too deep for Python."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return UNREADABLE


def compare(rows: Iterable[Mapping[str, Any]], schemas: Sequence[ColumnSchema]) -> Sample:
    """Validate rows (`id`, and a value for the column of each schema)."""
    counts: Counter[Problem] = Counter()
    examples: dict[Problem, str] = {}
    size = deviating = 0
    for row in rows:
        size += 1
        problems = {p for schema in schemas for p in _problems(schema, row[schema.column])}
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


def _problems(schema: ColumnSchema, value: Any) -> Iterable[Problem]:
    from referencing.exceptions import Unresolvable

    if value is UNREADABLE:
        yield schema.column, "cannot be read: a number is too long, or the nesting too deep"
        return
    try:
        for error in schema.validator.iter_errors(value):
            yield from _deviations(schema, error)
    except Unresolvable as error:
        raise ConfigError(
            f"{schema.file.name} refers to {error.ref}, which is not in it",
            hint="Put it under $defs of the same file: nothing is fetched.",
            file=str(schema.file),
        ) from error


def _deviations(schema: ColumnSchema, error: Any) -> Iterator[Problem]:
    """The problems of an error of the validator, without a value or a key of the data."""
    path = "".join(_step(step, schema.names) for step in error.absolute_path)
    rule, expected = error.validator, error.validator_value
    if rule != "required":
        yield f"{schema.column}{path}", _problem(rule, expected)
        return
    for name in expected:
        if name not in error.instance:
            yield f"{schema.column}{path}.{name}", "is missing"


def _step(step: str | int, names: frozenset[str]) -> str:
    """A step of a path. A key that the schema does not name is data."""
    if isinstance(step, int):
        return "[]"
    return f".{step}" if step in names else ".*"


def _problem(rule: str | None, expected: Any) -> str:
    """Describe a broken rule from the schema alone; the library's message quotes the value. A
    schema that is `false` has no rule.
    """
    if rule is None:
        return "has what is not allowed"
    if rule == "type":
        return f"is not {' or '.join([expected] if isinstance(expected, str) else expected)}"
    formats = {
        "minimum": "is less than {}",
        "minLength": "is shorter than {}",
        "pattern": "does not match {}",
    }
    if rule in formats:
        return formats[rule].format(expected)
    if isinstance(expected, dict | list) and rule != "enum":
        return f"breaks the rule {rule}"
    return f"breaks the rule {rule}: {json.dumps(expected)}"
