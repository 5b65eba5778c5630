"""Read and write `supabase_migrations.schema_migrations` as the Supabase CLI does.

Columns are always named, because hosted projects may have more of them and old ones fewer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import PrivilegeError
from supabase_jobs.sources.files import Migration

_COLUMNS = """
select attname::text from pg_catalog.pg_attribute
where attrelid = pg_catalog.to_regclass('supabase_migrations.schema_migrations') and attnum > 0 and not attisdropped
"""
_READ = 'select version, name, statements from supabase_migrations.schema_migrations order by version collate "C"'
_READ_OLD = 'select version, null, null from supabase_migrations.schema_migrations order by version collate "C"'

# the statements of the Supabase CLI, with its lock timeout; each may be run again
_CREATE = (
    "set local lock_timeout = '4s'",
    "create schema if not exists supabase_migrations",
    "create table if not exists supabase_migrations.schema_migrations (version text not null primary key)",
    "alter table supabase_migrations.schema_migrations add column if not exists statements text[]",
    "alter table supabase_migrations.schema_migrations add column if not exists name text",
)
_INSERT = "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)"


class AlreadyAppliedError(Exception):
    """The ledger already contains the version: another runner has applied it."""


@dataclass(frozen=True)
class LedgerRow:
    """One applied migration. `statements` and `name` are None if an old CLI did not write them."""

    version: str
    name: str | None
    statements: tuple[str, ...] | None


def read(connection: Connection) -> list[LedgerRow]:
    """The applied migrations, by version as text. Without a ledger the list is empty, and no ledger is created."""
    columns = _columns(connection)
    if not columns:
        return []
    query = _READ if {"name", "statements"} <= columns else _READ_OLD
    return [
        LedgerRow(version, name, None if statements is None else tuple(s or "" for s in statements))
        for version, name, statements in connection.execute(query)
    ]


def create_if_missing(connection: Connection) -> None:
    """Create the ledger, or add its newer columns, in the open transaction."""
    if {"version", "name", "statements"} <= _columns(connection):
        return
    with _explain_missing_privilege():
        for statement in _CREATE:
            connection.execute(statement)


def insert(connection: Connection, migration: Migration) -> None:
    """Write the row of a migration; AlreadyAppliedError if another runner has written it."""
    statements = [statement.text for statement in migration.statements]
    try:
        with _explain_missing_privilege():
            connection.execute(_INSERT, (migration.version, migration.name, statements))
    except psycopg.errors.UniqueViolation as error:
        raise AlreadyAppliedError from error


def _columns(connection: Connection) -> set[str]:
    return {name for (name,) in connection.execute(_COLUMNS)}


@contextmanager
def _explain_missing_privilege() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise PrivilegeError(
            f"the role may not write the migration ledger: {error.diag.message_primary}",
            hint="Connect as the role that applies migrations: postgres on Supabase.",
            sqlstate=error.sqlstate,
        ) from None
