"""Other sessions wait for less than a second while a command looks at a database in use."""

import psycopg
import pytest

from benchmarks.distance import distance
from supabase_jobs.database.connection import connect
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, Database
from tests.production.traffic import COUNTER, sign_ups

# a long way, which a batch travels once: with a round trip for each part, locks would be held for
# seconds
ONE_WAY_SECONDS = 0.1


@pytest.fixture
def counted(in_use: Database) -> Database:
    """A database in use, in which each sign-up updates the same row."""
    with psycopg.connect(in_use.superuser_url, autocommit=True) as connection:
        connection.execute(COUNTER)
    return in_use


def test_sign_ups_wait_briefly_for_verify_at_a_distance(counted: Database) -> None:
    with distance(counted.server.port, ONE_WAY_SECONDS) as proxy:
        url = counted.url.replace(str(counted.server.port), str(proxy.port))
        with connect(url) as connection, sign_ups(counted.url) as traffic:
            result = verify(connection, EXPECTATIONS)
    assert (result.ok, result.findings, result.unchecked) == (True, (), ())
    assert traffic.errors == []
    assert traffic.longest < 1


def test_verify_repeats_a_batch_that_another_session_blocks(counted: Database) -> None:
    """A transaction holds the counter for longer than verify waits, and then ends."""
    with (
        connect(counted.url) as connection,
        psycopg.connect(counted.url) as other,
        sign_ups(counted.url, clients=1),
    ):
        other.execute("set local idle_in_transaction_session_timeout = '1200ms'")
        other.execute("update public.user_count set total = total")
        result = verify(connection, EXPECTATIONS, ("access", "functions"))
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            other.execute("select 1")
    assert (result.ok, result.unchecked) == (True, ())
