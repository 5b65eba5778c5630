"""Prepare statements for a while by SQL, on whatever connection, and take them away again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import sql

from supabase_jobs.database.connection import Connection


@contextmanager
def without_automatic_prepare(connection: Connection) -> Iterator[None]:
    """Keep psycopg from preparing: it drops all that is prepared at every rollback, also in the midst of a pipeline."""
    threshold, connection.prepare_threshold = connection.prepare_threshold, None
    try:
        connection.execute("select")  # by now psycopg has dropped what it had prepared before
        yield
    finally:
        connection.prepare_threshold = threshold


@contextmanager
def prepared(connection: Connection, statements: Mapping[str, bytes], types: str = "") -> Iterator[None]:
    """Prepare statements, by their names, in a transaction that is open: those that take longer to plan than to run.

    `types` are those of their parameters, in brackets. By SQL, as psycopg's own do not outlive a rollback. Gone at the
    end, because a pooler may give the server's session to somebody else.
    """
    with without_automatic_prepare(connection):
        try:
            for name, statement in statements.items():
                head = b"prepare " + sql.Identifier(name).as_bytes(connection) + types.encode() + b" as "
                connection.execute(head + statement)
            yield
        finally:
            if connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
                for name in statements:
                    connection.execute(sql.SQL("deallocate {}").format(sql.Identifier(name)))
