"""Statistics of the jobs and their tables. Each file in `sql/stats/queries/` is one section."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.give_way import GiveWay, giving_way
from supabase_jobs.database.interrupts import pipeline
from supabase_jobs.database.limits import limits
from supabase_jobs.operations.statements import requires_migrations, statement, statements

Rows = list[dict[str, Any]]

# overrides the role's defaults; a replica does not support SERIALIZABLE
_BEGIN = "begin isolation level read committed read only"


@dataclass
class Stats:
    """The rows of each section by its name; `unanswered` names those whose query timed out."""

    sections: dict[str, Rows] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)


def collect(connection: Connection, values: Mapping[str, object]) -> Stats:
    """Run every query, each for at most 10 s, in one read-only transaction and one round trip.

    After a query that times out, the next ones run in a transaction of their own. It gives way to
    sessions that wait for it. `values` holds `minutes`: the age at which a job counts as stuck.
    Raises what `requires_migrations` and `giving_way` raise.
    """
    result = Stats()
    names = list(statements("stats/queries"))
    with requires_migrations(connection):
        while names:
            run = partial(_run, connection, names, values)
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
    connection: Connection, names: Sequence[str], values: Mapping[str, object], watched: GiveWay
) -> tuple[dict[str, Rows], psycopg.errors.QueryCanceled | None]:
    """Run queries up to the first that times out; returns their rows, and that error."""
    queries = statements("stats/queries")
    cursors: dict[str, psycopg.Cursor[dict[str, Any]]] = {}
    timeout = None
    try:
        with pipeline(connection):
            connection.execute(_BEGIN)
            limit = limits()
            psycopg.RawCursor(connection).execute(limit.sql.encode(), limit.params)
            statement("stats/settings").execute(connection)
            mark = watched.statement
            connection.execute(mark.sql.encode(), mark.params)
            for name in names:
                cursors[name] = queries[name].send(connection, values)
            connection.execute("commit")
    except psycopg.errors.QueryCanceled as error:
        timeout = error
        connection.rollback()
        watched.raise_if_gave_way(error, "stats")
    return {
        name: cursor.fetchall() for name, cursor in cursors.items() if cursor.pgresult is not None
    }, timeout
