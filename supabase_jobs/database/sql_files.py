"""Loader of the packaged `.sql` files; each file is one statement with PostgreSQL parameters `$1`,
`$2`, …
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection

# `-- $1 days, $2 after`: the first line of a file names its parameters, also for its readers
_PARAMETER = re.compile(r"\$(\d+) (\w+)")


@dataclass(frozen=True)
class SqlFile:
    """The statement of a file; `parameters` are the names of `$1`, `$2`, … from the first line, if
    it names them.
    """

    path: Path
    text: str
    parameters: tuple[str, ...]

    def execute(
        self, connection: Connection, params: Sequence[object] = ()
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run the statement with positional parameters.

        A raw cursor does not interpret `%`, so the same text runs in psql. Raises psycopg's errors.
        """
        return psycopg.RawCursor(connection).execute(self.text.encode(), params or None)

    def statement(self, *params: object) -> Statement:
        """The statement for `batch.run_groups`, with positional parameters."""
        return Statement(self.text, params or None, numbered=True)

    def rows(self, connection: Connection, *params: object) -> list[tuple[Any, ...]]:
        """All rows of the statement. Raises psycopg's errors."""
        return self.execute(connection, params).fetchall()

    def dicts(self, connection: Connection, values: Mapping[str, object]) -> list[dict[str, Any]]:
        """All rows as dicts; parameters are passed by name, and `values` may contain more names."""
        return self.send(connection, values).fetchall()

    def send(
        self, connection: Connection, values: Mapping[str, object]
    ) -> psycopg.Cursor[dict[str, Any]]:
        """Run the statement as `dicts` does; in an open pipeline, the cursor has the rows after the
        pipeline.
        """
        cursor = psycopg.RawCursor(connection, row_factory=psycopg.rows.dict_row)
        return cursor.execute(self.text.encode(), [values[name] for name in self.parameters])


@cache
def sql_file(path: Path) -> SqlFile:
    """The statement of a packaged file."""
    text = path.read_text(encoding="utf-8")
    first, _, _ = text.partition("\n")
    numbered = {int(number): name for number, name in _PARAMETER.findall(first)}
    return SqlFile(path, text, tuple(numbered[number] for number in range(1, len(numbered) + 1)))


@cache
def sql_files(folder: Path) -> dict[str, SqlFile]:
    """The statements of a folder by file stem, sorted by file name."""
    return {path.stem: sql_file(path) for path in sorted(folder.glob("*.sql"))}
