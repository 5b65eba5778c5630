"""The packaged statements in `sql/`, and the error that reports missing migrations."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import translated
from supabase_jobs.database.sql_files import SqlFile, sql_file, sql_files
from supabase_jobs.database.time_limits import time_limits
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.findings import APPLY_FIRST

_BEGIN = Statement("begin isolation level read committed")
_COMMIT = Statement("commit")
_FOLDER = Path(__file__).with_name("sql")

# undefined table, column, function, schema
_UNDEFINED = ("42P01", "42703", "42883", "3F000")


class NotAppliedError(SupabaseJobsError):
    """The database lacks an object that this command needs."""

    code = "not_applied"


def statement(name: str) -> SqlFile:
    """The statement of `sql/NAME.sql`."""
    return sql_file(_FOLDER / f"{name}.sql")


def statements(folder: str) -> dict[str, SqlFile]:
    """The statements of `sql/FOLDER` by file stem, sorted."""
    return sql_files(_FOLDER / folder)


def change(
    connection: Connection, settings: SqlFile, file: SqlFile, values: Mapping[str, object]
) -> tuple[Any, ...]:
    """Run a statement that returns one row, in a transaction that is committed; returns the row.

    All of it is one round trip, so locks are held for the time of the server. Each statement of a
    function must see what was committed before it, whatever the role's default is. Raises psycopg's
    errors.
    """
    parameters = [values[name] for name in file.parameters]
    group = [_BEGIN, time_limits(), settings.statement(), file.statement(*parameters), _COMMIT]
    [result] = run_groups(connection, [group])
    if result.error is not None:
        if not connection.broken:
            connection.rollback()
        raise result.error
    [row] = result.answers[-2].rows
    return row


@contextmanager
def requires_migrations(connection: Connection) -> Iterator[None]:
    """Translate psycopg's errors; an undefined object means that migrations are missing.

    Raises NotAppliedError (2), and what `database.errors.translated` raises.
    """
    try:
        with translated(connection):
            yield
    except SupabaseJobsError as error:
        if error.sqlstate not in _UNDEFINED:
            raise
        raise NotAppliedError(
            "this database lacks an object that the command needs:"
            f" {error.message.rpartition(': ')[2]}",
            hint=f"{APPLY_FIRST} `supabase-jobs status` shows which are missing.",
            sqlstate=error.sqlstate,
        ) from None
