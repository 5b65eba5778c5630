"""Disturbances that an audit in place would cause in a database that people use."""

from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file

_QUERY = sql_file(Path(__file__).with_suffix(".sql"))


@dataclass(frozen=True)
class Disturbance:
    """An object, and what happens to it or because of it."""

    name: str
    why: str
    reaches_out: bool


def disturbances(connection: Connection) -> list[Disturbance]:
    """The triggers, sequences and tables to look at first. Only reads catalogs."""
    rows = _QUERY.rows(connection)
    return [Disturbance(name, why, reaches_out=place == 1) for place, name, why in rows]
