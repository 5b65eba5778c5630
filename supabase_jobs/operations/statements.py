"""The packaged statements in `sql/`, and the error that reports missing migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import translated
from supabase_jobs.database.sql_files import SqlFile, sql_file, sql_files
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.findings import APPLY_FIRST

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
