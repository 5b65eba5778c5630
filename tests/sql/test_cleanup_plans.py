"""Plans of the cleanup functions: a bounded call reads few rows even with outdated statistics."""

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from tests.fix_db import Make
from tests.sql.population import expired
from tests.sql.test_schedule_batches import inactive

MANY, LIMIT = 5000, 50

_FETCHED = """
select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables where relname = %s
"""


def fetched(connection: Connection, table: str) -> int:
    """The number of rows of a table that this transaction has read so far."""
    [(rows,)] = connection.execute(_FETCHED, (table,)).fetchall()
    return int(rows)


@pytest.mark.parametrize(
    ("table", "function"),
    [("async_jobs", "cleanup_old_jobs"), ("guest_users", "cleanup_inactive_guests")],
)
def test_a_bounded_call_reads_few_more_rows_than_it_deletes(
    make_database: Make, each_major: int, table: str, function: str
) -> None:
    url = make_database("applied", each_major).url
    call = f"select deleted_count from public.{function}(7, {LIMIT})".encode()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter table public.{table} set (autovacuum_enabled = off)".encode())
        connection.execute(f"vacuum analyze public.{table}".encode())  # of an empty table
        (expired if table == "async_jobs" else inactive)(connection, MANY)
    for _ in range(2):
        with psycopg.connect(url) as connection:
            assert connection.execute(call).fetchone() == (LIMIT,)
            assert fetched(connection, table) <= 4 * LIMIT


def test_a_generic_plan_deletes_guests_with_many_jobs_in_linear_time(make_database: Make) -> None:
    """A generic plan does not know the number of locked jobs; a search for each of them in an array
    would take 10 s.
    """
    database = make_database("applied")
    with psycopg.connect(database.superuser_url) as connection:
        inactive(connection, 200)
        connection.execute("set local session_replication_role = replica")  # skips the foreign keys
        connection.execute(
            "insert into public.async_jobs (url, status, guest_id, updated_at)"
            " select 'u', 'failed', g.guest_id, now() - interval '60 days'"
            " from public.guest_users as g, generate_series(1, 300)"
        )
    with psycopg.connect(database.url) as connection:
        connection.execute("set plan_cache_mode = force_generic_plan")
        connection.execute("set statement_timeout = '5s'")
        deleted = connection.execute(
            "select deleted_count from public.cleanup_inactive_guests(30, 1000)"
        ).fetchone()
        assert deleted == (200,)
