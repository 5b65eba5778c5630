"""`supabase_migrations.schema_migrations`, read and written as the Supabase CLI does.

Columns are always named: hosted projects may have more of them, old ones fewer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from supabase_jobs.database.connection import Connection

_COLUMNS = """
select attname::text from pg_catalog.pg_attribute
where attrelid = pg_catalog.to_regclass('supabase_migrations.schema_migrations') and attnum > 0 and not attisdropped
"""
_READ = 'select version, name, statements from supabase_migrations.schema_migrations order by version collate "C"'
_READ_OLD = 'select version, null, null from supabase_migrations.schema_migrations order by version collate "C"'

# one after the other and with this patience, as the CLI runs them; each does nothing where its work is done
_CREATE = (
    "set local lock_timeout = '4s'",
    "create schema if not exists supabase_migrations",
    "create table if not exists supabase_migrations.schema_migrations (version text not null primary key)",
    "alter table supabase_migrations.schema_migrations add column if not exists statements text[]",
    "alter table supabase_migrations.schema_migrations add column if not exists name text",
)
_INSERT = "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)"


@dataclass(frozen=True)
class Row:
    """One applied migration. `statements` and `name` are None where an old CLI wrote none."""

    version: str
    name: str | None
    statements: tuple[str, ...] | None


def read(connection: Connection) -> list[Row]:
    """The applied migrations by version, as text; none where there is no ledger, which is not created."""
    columns = _columns(connection)
    if not columns:
        return []
    query = _READ if {"name", "statements"} <= columns else _READ_OLD
    return [
        Row(version, name, None if statements is None else tuple(s or "" for s in statements))
        for version, name, statements in connection.execute(query)
    ]


def ensure(connection: Connection) -> None:
    """Create the ledger, or its younger columns, where they are missing; to be called in a transaction."""
    if {"version", "name", "statements"} <= _columns(connection):
        return
    for statement in _CREATE:
        connection.execute(statement)


def insert(connection: Connection, version: str, name: str, statements: Sequence[str]) -> None:
    """Write a migration's row; psycopg's UniqueViolation says that another runner has written it."""
    connection.execute(_INSERT, (version, name, list(statements)))


def _columns(connection: Connection) -> set[str]:
    return {name for (name,) in connection.execute(_COLUMNS)}
