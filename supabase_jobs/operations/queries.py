"""The statements in `sql/`, by name, and the errors of a database that lacks the migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import translated
from supabase_jobs.database.sql_files import SqlFile, sql_file, sql_files
from supabase_jobs.errors import SupabaseJobsError

_FOLDER = Path(__file__).with_name("sql")

# undefined table, column, function, schema
_MISSING = ("42P01", "42703", "42883", "3F000")


class NotAppliedError(SupabaseJobsError):
    """The database lacks what this command works on."""

    code = "not_applied"


def load(name: str) -> SqlFile:
    """The statement of `sql/NAME.sql`."""
    return sql_file(_FOLDER / f"{name}.sql")


def load_all(name: str) -> dict[str, SqlFile]:
    """The statements of the folder `sql/NAME` by the stems of their files, in the order of their names."""
    return sql_files(_FOLDER / name)


@contextmanager
def explained(connection: Connection) -> Iterator[None]:
    """Turn psycopg's errors into ours; what is not there means that the migrations are not applied.

    Raises NotAppliedError (2), and what `database.errors.translated` raises.
    """
    try:
        with translated(connection):
            yield
    except SupabaseJobsError as error:
        if error.sqlstate not in _MISSING:
            raise
        raise NotAppliedError(
            f"this database lacks what the command works on: {error.message.rpartition(': ')[2]}",
            hint="Apply the migrations first: supabase-jobs apply. `supabase-jobs status` shows which are missing.",
            sqlstate=error.sqlstate,
        ) from None
