"""Statistics of the jobs and their tables. Each file in `sql/stats/queries/` is one section; those
in `sql/stats/without/SOURCE/` replace the ones that need an excluded source.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.give_way import GiveWay, giving_way
from supabase_jobs.database.interrupts import pipeline
from supabase_jobs.database.sql_files import SqlFile
from supabase_jobs.database.time_limits import time_limits
from supabase_jobs.operations.statements import requires_migrations, statement, statements

Rows = list[dict[str, Any]]

# overrides the role's defaults; a replica does not support SERIALIZABLE
_BEGIN = "begin isolation level read committed read only"


@dataclass
class Stats:
    """The rows of each section by its name; `unanswered` names those whose query timed out."""

    sections: dict[str, Rows] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)


def collect(
    connection: Connection, values: Mapping[str, object], excluded: Collection[str] = ()
) -> Stats:
    """Run every query, each for at most 10 s, in one read-only transaction and one round trip.

    After a query that times out, the next ones run in a transaction of their own. It gives way to
    sessions that wait for it. `values` holds `minutes`: the age at which a job counts as stuck.
    `excluded` names the sources that the project does without. Raises what `requires_migrations`
    and `giving_way` raise.
    """
    result = Stats()
    queries = dict(statements("stats/queries"))
    for source in excluded:
        queries |= statements(f"stats/without/{source}")
    names = list(queries)
    with requires_migrations(connection):
        while names:
            run = partial(_run, connection, {name: queries[name] for name in names}, values)
            sections, error = giving_way(connection, "stats", run)
            result.sections |= sections
            names = names[len(sections) :]
            if error is not None:
                if not names:
                    raise error
                result.sections[names[0]] = []
                result.unanswered.append(names.pop(0))
    return result


def _run(
    connection: Connection,
    queries: Mapping[str, SqlFile],
    values: Mapping[str, object],
    watched: GiveWay,
) -> tuple[dict[str, Rows], psycopg.errors.QueryCanceled | None]:
    """Run queries up to the first that times out; returns their rows, and that error."""
    cursors: dict[str, psycopg.Cursor[dict[str, Any]]] = {}
    timeout = None
    try:
        with pipeline(connection):
            connection.execute(_BEGIN)
            limit = time_limits()
            psycopg.RawCursor(connection).execute(limit.sql.encode(), limit.params)
            statement("stats/settings").execute(connection)
            mark = watched.statement
            connection.execute(mark.sql.encode(), mark.params)
            for name, query in queries.items():
                cursors[name] = query.send(connection, values)
            connection.execute("commit")
    except psycopg.errors.QueryCanceled as error:
        timeout = error
        connection.rollback()
        watched.raise_if_gave_way(error, "stats")
    return {
        name: cursor.fetchall() for name, cursor in cursors.items() if cursor.pgresult is not None
    }, timeout
