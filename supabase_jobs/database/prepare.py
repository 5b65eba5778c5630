"""Temporary prepared statements, made with PREPARE and removed with DEALLOCATE."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import sql

from supabase_jobs.database.connection import Connection


@contextmanager
def without_automatic_prepare(connection: Connection) -> Iterator[None]:
    """Disable psycopg's own prepared statements: psycopg deallocates them at each rollback, even inside a pipeline."""
    threshold, connection.prepare_threshold = connection.prepare_threshold, None
    try:
        connection.execute("select")  # psycopg sends pending DEALLOCATE commands first
        yield
    finally:
        connection.prepare_threshold = threshold


@contextmanager
def prepared(connection: Connection, statements: Mapping[str, bytes], types: str = "") -> Iterator[None]:
    """Prepare the statements of a mapping (name → SQL) in an open transaction, for the block.

    Worthwhile for statements that take longer to plan than to run. `types` are the parameter types in parentheses.
    PREPARE is used because psycopg's prepared statements do not survive a rollback. They are deallocated at the end
    because a pooler may give the server session to another client.
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
