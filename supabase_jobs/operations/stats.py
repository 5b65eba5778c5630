"""Statistics of the jobs and their tables. Each file in `sql/stats/queries/` is one section."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import IsolationLevel

from supabase_jobs.database.connection import Connection
from supabase_jobs.operations.statements import requires_migrations, statement, statements

Rows = list[dict[str, Any]]


@dataclass
class Stats:
    """The rows of each section by its name; `unanswered` names the sections whose query timed out."""

    sections: dict[str, Rows] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)


def collect(connection: Connection, values: Mapping[str, object]) -> Stats:
    """Run every query, each in a read-only transaction of at most 10 s.

    `values` holds `minutes`: the age at which a job counts as stuck. Raises what `requires_migrations` raises.
    """
    result = Stats()
    connection.read_only = True
    connection.isolation_level = IsolationLevel.READ_COMMITTED  # a replica does not support SERIALIZABLE
    for name, query in statements("stats/queries").items():
        with requires_migrations(connection):
            try:
                with connection.transaction():
                    statement("stats/settings").execute(connection)
                    result.sections[name] = query.dicts(connection, values)
            except psycopg.errors.QueryCanceled:
                result.sections[name] = []
                result.unanswered.append(name)
    return result
