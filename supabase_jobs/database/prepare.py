"""Prepared statements with fixed names, and a switch for psycopg's automatic ones."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import sql

from supabase_jobs.database.connection import Connection


@contextmanager
def without_automatic_prepare(connection: Connection) -> Iterator[None]:
    """Keep psycopg from preparing statements: it drops all of its own at every rollback, even
    inside a pipeline.
    """
    threshold, connection.prepare_threshold = connection.prepare_threshold, None
    try:
        connection.execute("select")  # here psycopg drops the statements that it prepared before
        yield
    finally:
        connection.prepare_threshold = threshold


@contextmanager
def prepared(
    connection: Connection, statements: Mapping[str, bytes], types: str = ""
) -> Iterator[None]:
    """Prepare statements under these names, in an open transaction; useful if planning takes longer
    than running.

    `types` are the types of their parameters, in parentheses. The statements are prepared with SQL,
    because psycopg's own do not outlive a rollback. They are deallocated at the end, because a
    pooler may give the server's session to another client.
    """
    with without_automatic_prepare(connection):
        try:
            for name, statement in statements.items():
                head = (
                    b"prepare "
                    + sql.Identifier(name).as_bytes(connection)
                    + types.encode()
                    + b" as "
                )
                connection.execute(head + statement)
            yield
        finally:
            if connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
                for name in statements:
                    connection.execute(sql.SQL("deallocate {}").format(sql.Identifier(name)))
