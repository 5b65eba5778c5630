"""The rows that migrations have written, as digests that two databases can be compared by.

Values that differ between two runs of the same migrations, such as times and random ids, are left
out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from supabase_jobs.database.batch import Statement, read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_files
from supabase_jobs.projects.catalog import PLATFORM_SCHEMAS

_QUERIES = sql_files(Path(__file__).with_suffix(""))
# the digest of the rows, whatever their order
_DIGEST = sql.SQL("""
select pg_catalog.count(*), pg_catalog.md5(pg_catalog.string_agg(t.line, '|' order by t.line))
from (select row({columns})::text as line from {table}) as t
""")

Table = tuple[str, str]


@dataclass(frozen=True)
class Rows:
    """The digest of each column of each table, and other values by kind and name."""

    columns: Mapping[Table, Mapping[str, str]]
    others: Mapping[tuple[str, str], str]


def read_rows(connection: Connection) -> Rows:
    """The digests of all columns."""
    schemas = list(PLATFORM_SCHEMAS)
    tables, others = read(
        connection, [_QUERIES["tables"].statement(schemas), _QUERIES["others"].statement(schemas)]
    )
    names = [(schema, name, column) for schema, name, columns in tables for column in columns]
    answers = read(
        connection, [_digest((schema, name), [c], connection) for schema, name, c in names]
    )
    found: dict[Table, dict[str, str]] = {(schema, name): {} for schema, name, _ in tables}
    for (schema, name, column), [(count, digest)] in zip(names, answers, strict=True):
        found[schema, name][column] = f"{count} {digest}"
    return Rows(found, {(kind, name): str(value) for kind, name, value in others})


def together(connection: Connection, columns: Mapping[Table, Sequence[str]]) -> dict[Table, str]:
    """The digest of the rows of each table, of these columns together."""
    tables = [table for table, names in columns.items() if names]
    answers = read(connection, [_digest(table, columns[table], connection) for table in tables])
    return {table: str(rows) for table, rows in zip(tables, answers, strict=True)}


def stable_columns(one: Rows, again: Rows) -> dict[Table, list[str]]:
    """The columns that have the same values after two runs of the same migrations."""
    found = {}
    for table, columns in one.columns.items():
        same = columns.items() & again.columns[table].items()
        found[table] = sorted(name for name, _ in same)
    return found


def differing(one: Rows, again: Rows, other: Rows) -> Iterable[str]:
    """Phrases for what differs between `one` and `other`, and not between `one` and `again`."""
    for table, columns in stable_columns(one, again).items():
        found = other.columns.get(table, {})
        now, before = _number(found), _number(one.columns[table])
        if now != before:
            yield f"rows of {'.'.join(table)}: {now} instead of {before}"
            continue
        wrong = [name for name in columns if found.get(name) != one.columns[table][name]]
        if wrong:
            yield f"rows of {'.'.join(table)}: other values in {', '.join(wrong)}"
    for key in sorted(one.others.keys() | other.others.keys()):
        kind, name = key
        if one.others.get(key) == again.others.get(key) != other.others.get(key):
            now, before = other.others.get(key, "missing"), one.others.get(key, "missing")
            yield f"{kind} {name} is {now}, not {before}"


def _number(columns: Mapping[str, str]) -> str:
    """The number of rows, with which the digest of each column begins."""
    return next(iter(columns.values()), "0").partition(" ")[0]


def _digest(table: Table, columns: Sequence[str], connection: Connection) -> Statement:
    query = _DIGEST.format(
        table=sql.Identifier(*table), columns=sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    return Statement(query.as_string(connection))
