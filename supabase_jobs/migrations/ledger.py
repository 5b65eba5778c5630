"""Read and write `supabase_migrations.schema_migrations` as the Supabase CLI does.

Columns are always named, because hosted projects may have more of them and old ones fewer.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.blocking import BlockingSession
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import LOCK_ERRORS, public_message, session_ended
from supabase_jobs.errors import MigrationError, PrivilegeError
from supabase_jobs.migrations.locks import LockOptions, lock_timeout_statement, retry_while_locked
from supabase_jobs.session.savepoint import run_undone
from supabase_jobs.sources.files import Migration

_COLUMNS = """
select attname::text from pg_catalog.pg_attribute
where attrelid = pg_catalog.to_regclass('supabase_migrations.schema_migrations')
  and attnum > 0 and not attisdropped
"""
_READ = """
select version, name, statements, pg_catalog.md5(statements::text)
from supabase_migrations.schema_migrations
order by version collate "C"
"""
_READ_OLD = (
    "select version, null, null, null from supabase_migrations.schema_migrations"
    ' order by version collate "C"'
)
_ALL_COLUMNS = {"version", "name", "statements"}

# the statements of the Supabase CLI; each may be run again
_CREATE = (
    "create schema if not exists supabase_migrations",
    "create table if not exists supabase_migrations.schema_migrations (version text not null"
    " primary key)",
    "alter table supabase_migrations.schema_migrations add column if not exists statements text[]",
    "alter table supabase_migrations.schema_migrations add column if not exists name text",
)
# Which versions are applied, and a digest of each text: whether the ledger has changed since the
# plan was made.
DIGESTS = (
    "select version, pg_catalog.md5(statements::text) from supabase_migrations.schema_migrations"
)
# Division by zero unless the row is there: a trigger, or the file itself, may have removed or
# suppressed it.
_CHECK_ROW = """
select 1 / pg_catalog.count(*)::pg_catalog.int4, pg_catalog.min(pg_catalog.md5(statements::text))
from supabase_migrations.schema_migrations
where version = %s and coalesce(pg_catalog.cardinality(statements), 0) = %s
"""
_INSERT = (
    "insert into supabase_migrations.schema_migrations (version, name, statements)"
    " values (%s, %s, %s)"
)

_UPDATE = """
update supabase_migrations.schema_migrations
set version = %s, name = %s, statements = %s
where version = %s
"""
_DELETE = "delete from supabase_migrations.schema_migrations where version = %s"


class AlreadyAppliedError(Exception):
    """The ledger already contains the version: another runner has applied it.

    If it does not contain the version, another unique constraint has rejected the row, and
    `rejection` is the error.
    """

    def __init__(self, migration: Migration, rejection: MigrationError) -> None:
        super().__init__(migration.version)
        self.migration = migration
        self.rejection = rejection


class LedgerChangedError(Exception):
    """The ledger has changed since the plan was made: another runner is active."""


@dataclass(frozen=True)
class LedgerRow:
    """One applied migration. `statements` and `name` are None if an old CLI did not write them.

    `digest` is that of `DIGESTS`.
    """

    version: str
    name: str | None
    statements: tuple[str, ...] | None
    digest: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Ledger:
    """The applied migrations, by version as text; none, and not complete, if the ledger does not
    exist.

    `is_complete`: it exists with all its columns.
    """

    rows: tuple[LedgerRow, ...]
    is_complete: bool

    @property
    def digests(self) -> dict[str, str | None]:
        """The digest of the text of each applied version."""
        return {row.version: row.digest for row in self.rows}


def read(connection: Connection, lock_options: LockOptions | None = None) -> Ledger:
    """Read the ledger in one round trip; it is not created. Needs a connection without an open
    transaction.

    Raises BusyError (5) if another session's lock blocks it until the last retry.
    """
    lock_options = lock_options or LockOptions()
    begin = [Statement("begin"), lock_timeout_statement(lock_options)]
    queries = [[Statement(query)] for query in (_COLUMNS, _READ, _READ_OLD)]

    def attempt(_blocking: list[BlockingSession]) -> Ledger:
        end = [Statement("rollback")]
        known, new, old = run_undone(connection, queries, first=begin, last=end)
        columns = {name for (name,) in known.answer().rows}
        if not columns:
            return Ledger((), is_complete=False)
        is_complete = columns >= _ALL_COLUMNS
        rows = (new if is_complete else old).answer().rows
        return Ledger(
            tuple(LedgerRow(v, name, _texts(texts), md5) for v, name, texts, md5 in rows),
            is_complete,
        )

    return retry_while_locked(lock_options, "the migration ledger", attempt)


def _texts(statements: Sequence[str | None] | None) -> tuple[str, ...] | None:
    return None if statements is None else tuple(statement or "" for statement in statements)


def digests(connection: Connection) -> dict[str, str | None]:
    """The digest of the text of each applied version, from a complete ledger."""
    return dict(connection.execute(DIGESTS.encode()).fetchall())


def create_statements() -> list[Statement]:
    """The statements that create the ledger, or add its newer columns, in the open transaction."""
    return [Statement(sql) for sql in _CREATE]


def insert_statement(migration: Migration) -> Statement:
    """The statement that writes the row of a migration; UniqueViolation if another runner has
    written it.
    """
    statements = [statement.text for statement in migration.statements]
    return Statement(_INSERT, (migration.version, migration.name, statements))


def update_statement(migration: Migration, version: str) -> Statement:
    """The statement that makes the row of another version that of a migration."""
    statements = [statement.text for statement in migration.statements]
    return Statement(_UPDATE, (migration.version, migration.name, statements, version))


def restore_statement(version: str, row: LedgerRow | None) -> Statement:
    """The statement that makes the row of a version again what it was; None: there was none."""
    if row is None:
        return Statement(_DELETE, (version,))
    statements = None if row.statements is None else list(row.statements)
    return Statement(_UPDATE, (row.version, row.name, statements, version))


def insert(connection: Connection, migration: Migration) -> None:
    """Write the row of a migration. Raises what `explain_insert` raises."""
    statement = insert_statement(migration)
    with explain_insert(migration):
        connection.execute(statement.sql.encode(), statement.params)


def check_statement(migration: Migration) -> Statement:
    """The statement that fails unless the row of a migration is there; its second column is the
    row's digest.
    """
    return Statement(_CHECK_ROW, (migration.version, len(migration.statements)))


@contextmanager
def explain_insert(migration: Migration) -> Iterator[None]:
    """Translate the errors of writing a row: AlreadyAppliedError, PrivilegeError (7), and
    MigrationError (6).

    Errors of a lock, of a read-only database and of the connection are raised as they are.
    """
    try:
        with explain_missing_privilege():
            yield
    except psycopg.errors.UniqueViolation as error:
        raise AlreadyAppliedError(migration, _rejection(migration, error)) from error
    except (*LOCK_ERRORS, psycopg.errors.ReadOnlySqlTransaction):
        raise
    except psycopg.Error as error:
        if error.sqlstate is None or session_ended(error):
            raise
        raise _rejection(migration, error) from None


def _rejection(migration: Migration, error: psycopg.Error) -> MigrationError:
    hint = (
        "Look for a trigger, a constraint or a column that was added to"
        " supabase_migrations.schema_migrations."
    )
    if isinstance(error, psycopg.errors.UntranslatableCharacter):
        hint = (
            "Remove the character from the file: the encoding of the database does not contain it."
        )
    return MigrationError(
        f"the ledger row of {migration.file_name} could not be written:"
        f" {public_message(error) or error}",
        hint=hint,
        sqlstate=error.sqlstate,
        file=migration.label,
    )


@contextmanager
def explain_missing_privilege() -> Iterator[None]:
    """Raise PrivilegeError (7) if the role may not write the ledger."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise PrivilegeError(
            f"the role may not write the migration ledger: {error.diag.message_primary}",
            hint="Connect as the role that applies migrations: postgres on Supabase.",
            sqlstate=error.sqlstate,
        ) from None
