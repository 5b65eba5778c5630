"""Tell the project's own tables, which say nothing of what the migrations promise, from those that do."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import psycopg

from supabase_jobs.database import Connection
from supabase_jobs.verify import structure

_THEIRS = Path(__file__).parent / "scope" / "theirs.sql"


def ours_beside(file: Path) -> frozenset[str]:
    """The tables and views that the snapshot beside a file of declarations names as made by the migrations."""
    recorded = file.with_name(structure.DEFAULT_FILE.name)
    return frozenset(structure.load(recorded).scope["relations"] if recorded.is_file() else ())


@dataclass(frozen=True)
class Theirs:
    """A table of the project's own that is in the way of a probe: why nothing can be said, and what helps."""

    why: str
    fix: str


def in_the_way(connection: Connection, error: psycopg.Error, ours: Collection[str]) -> Theirs | None:
    """What an error says where it comes from a constraint of a table that is none of `ours`.

    Asks the server: the transaction has to be fit for that again. None where nobody said what is ours.
    """
    if not ours or not isinstance(error, psycopg.IntegrityError) or error.diag.table_name is None:
        return None
    with psycopg.RawCursor(connection) as cursor:
        cursor.execute(_THEIRS.read_bytes(), [error.diag.schema_name, error.diag.table_name, list(ours)])
        found = cursor.fetchone()
    if found is None:
        return None
    constraint, words = error.diag.constraint_name, error.diag.message_primary
    return Theirs(
        f"it failed with {error.sqlstate} ({words}), and {found[0]} is a table of the project's own",
        f'Real rows meet constraint "{constraint}" of {found[0]} too; on delete cascade, say, lets them through.',
    )
