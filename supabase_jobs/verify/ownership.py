"""Tell the project's own tables and constraints, which say nothing of what the migrations expectations, from ours."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import psycopg

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.verify.structure import snapshot

_OWNERSHIP = Path(__file__).with_name("ownership.sql")
_REFUSING = ("constraint", "index")


def managed_relations(file: Path) -> frozenset[str]:
    """The tables and views that the snapshot beside a file of declarations names as made by the migrations."""
    return frozenset(() if (recorded := _beside(file)) is None else recorded.scope["relations"])


def managed_objects(file: Path) -> frozenset[str]:
    """The same, and the constraints and indexes of these tables, each as `table:name`."""
    recorded = _beside(file)
    parts = () if recorded is None else recorded.facts
    return managed_relations(file) | {f"{part.object}:{part.name}" for part in parts if part.kind in _REFUSING}


def _beside(file: Path) -> snapshot.Snapshot | None:
    recorded = file.with_name(snapshot.FILE_NAME)
    return snapshot.load(recorded) if recorded.is_file() else None


@dataclass(frozen=True)
class UserObjectConflict:
    """What of the project's own is in the way of a probe: why nothing can be said, and what helps."""

    why: str
    fix: str


def user_object_conflict(
    connection: Connection, error: psycopg.Error, ours: Collection[str]
) -> UserObjectConflict | None:
    """What an error says where it comes from a table that is none of `ours`, or from a constraint that is none.

    Asks the server: the transaction has to be fit for that again. None where nobody said what is ours.
    """
    if not ours or not isinstance(error, psycopg.IntegrityError) or error.diag.table_name is None:
        return None
    said = error.diag
    found = sql_file(_OWNERSHIP).rows(connection, said.schema_name, said.table_name, said.constraint_name, list(ours))
    if not found:
        return None
    [(table, whole)] = found
    constraint = f'constraint "{said.constraint_name}" of {table}' if said.constraint_name else f"what {table} refuses"
    return UserObjectConflict(
        f"it failed with {error.sqlstate} ({said.message_primary}), and {table if whole else constraint} is"
        f" {'a table' if whole else 'one'} of the project's own",
        f"Real rows meet {constraint} too; on delete cascade, say, lets them through."
        if isinstance(error, psycopg.errors.ForeignKeyViolation)
        else f"Real rows meet {constraint} too.",
    )
