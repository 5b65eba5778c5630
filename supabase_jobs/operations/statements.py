"""The `.sql` files of this package: loaded, run with named parameters, their errors told."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from supabase_jobs.database import Connection, translated
from supabase_jobs.errors import SupabaseJobsError

FOLDER = Path(__file__).with_name("sql")

# `-- $1 days, $2 after`, a file's first line
_PARAMETER = re.compile(r"\$(\d+) (\w+)")
# undefined table, column, function, schema
_MISSING = ("42P01", "42703", "42883", "3F000")


class NotAppliedError(SupabaseJobsError):
    """The database lacks what this command works on."""

    code = "not_applied"


@dataclass(frozen=True)
class Statement:
    """A file's text, and the names of $1, $2, … as its first line gives them."""

    text: str
    parameters: tuple[str, ...]

    def run(self, connection: Connection, values: Mapping[str, object]) -> list[dict[str, Any]]:
        """The rows as dicts; `values` may hold more than the statement asks for."""
        with psycopg.RawCursor(connection, row_factory=psycopg.rows.dict_row) as cursor:
            cursor.execute(self.text.encode(), [values[name] for name in self.parameters])
            return cursor.fetchall()

    def one(self, connection: Connection, values: Mapping[str, object]) -> dict[str, Any]:
        """The only row."""
        [row] = self.run(connection, values)
        return row


@cache
def load(name: str) -> Statement:
    """The statement of `sql/NAME.sql`."""
    return _read(FOLDER / f"{name}.sql")


@cache
def load_all(name: str) -> dict[str, Statement]:
    """The statements of the folder `sql/NAME` by their stems, in order of their names."""
    return {path.stem: _read(path) for path in sorted((FOLDER / name).glob("*.sql"))}


@contextmanager
def explained(connection: Connection) -> Iterator[None]:
    """Turn psycopg's errors into ours; what is not there means that the migrations are not applied.

    Raises NotAppliedError (2), and what `database.translated` raises.
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


def _read(path: Path) -> Statement:
    text = path.read_text(encoding="utf-8")
    first, _, _ = text.partition("\n")
    numbered = {int(number): name for number, name in _PARAMETER.findall(first)}
    return Statement(text, tuple(numbered[number] for number in range(1, len(numbered) + 1)))
