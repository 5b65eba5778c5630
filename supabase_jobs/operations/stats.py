"""How a database is doing. Each file in `sql/stats/queries/` is a question and a section of the answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import IsolationLevel

from supabase_jobs.database.connection import Connection
from supabase_jobs.operations.queries import explained, load, load_all

Rows = list[dict[str, Any]]


@dataclass
class Stats:
    """The rows of each section by its name; `unanswered` names those that the server had no time for."""

    sections: dict[str, Rows] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)


def collect(connection: Connection, values: Mapping[str, object]) -> Stats:
    """Ask every question, each in a read-only transaction of at most 10 s.

    `values` holds `minutes`: after how many a job is thought to be stuck. Raises what `explained` raises.
    """
    found = Stats()
    connection.read_only = True
    connection.isolation_level = IsolationLevel.READ_COMMITTED  # a replica knows no SERIALIZABLE
    for name, statement in load_all("stats/queries").items():
        with explained(connection):
            try:
                with connection.transaction():
                    load("stats/settings").dicts(connection, {})
                    found.sections[name] = statement.dicts(connection, values)
            except psycopg.errors.QueryCanceled:
                found.sections[name] = []
                found.unanswered.append(name)
    return found
