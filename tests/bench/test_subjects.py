"""What the benchmarks look at is seen when it is not as it should be."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from benchmarks import cleanup, queries, workers
from benchmarks.figures import Figure
from benchmarks.queries import Measured
from benchmarks.world import World, fill, run
from benchmarks.writer import writing
from supabase_jobs.database.connection import connect
from supabase_jobs.verify.plans.queries import load
from tests.fix_db import Database, Make

# as text: otherwise the planner compares the function with the query's own guest, once and before any row
PER_ROW = """
alter policy "guests read their own jobs" on public.async_jobs
using (guest_id::text = private.request_guest_id()::text)
"""
WITHOUT = "drop index public.idx_async_jobs_guest_active"


@pytest.fixture
def filled(make_database: Make) -> Database:
    """A database with the migrations and 2,000 jobs."""
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        fill(connection, 2000)
    return database


def look(database: Database, name: str) -> Measured:
    """One query as one identity."""
    declared = load()
    [asked] = [asked for asked in queries.asked_for(declared) if asked.name == name]
    with connect(database.url) as ours, connect(database.url) as owners:
        return queries.measured(asked, declared, ours, owners, seconds=0)


def plan_figure(found: Measured) -> Figure:
    return queries.figures("…", found, found)[0]


@pytest.mark.parametrize("fault", [PER_ROW, WITHOUT], ids=["owner asked for each row", "no index"])
def test_a_plan_that_is_not_as_it_should_be(filled: Database, fault: str) -> None:
    name = "active jobs of a guest, as guest"
    assert plan_figure(look(filled, name)).ok
    with connect(filled.url) as connection:
        connection.execute(fault.encode())
    assert not plan_figure(look(filled, name)).ok


def test_what_the_query_itself_calls_is_no_owner_check(filled: Database) -> None:
    assert look(filled, "active jobs of the caller, as user").once


def test_both_sides_find_the_same(filled: Database) -> None:
    """What a query is compared with answers the same rows, and there are some."""
    declared = load()
    for asked in queries.asked_for(declared):
        found = look(filled, asked.name)
        assert found.plan["Actual Rows"] == found.owners_plan["Actual Rows"] > 0, asked.name


@pytest.mark.parametrize(("plain", "limit"), [(0.1, 0.3), (0.6, 0.8), (0.9, 1.17), (1.0, 1.3), (10.0, 13.0)])
def test_how_long_a_query_may_take(plain: float, limit: float) -> None:
    assert queries.latency_limit(plain) == pytest.approx(limit)


def test_a_writer_that_has_to_wait_is_seen(filled: Database) -> None:
    with connect(filled.url) as connection, writing(filled.url) as waits, connection.transaction():
        run(connection, "delete")
        threading.Event().wait(0.4)
    assert waits.percentile(100) >= 350
    assert waits.percentile(1) < 350


@pytest.mark.parametrize("deletes", [cleanup.in_one, cleanup.in_batches, cleanup.naively])
def test_all_that_is_compared_deletes_the_same(filled: Database, deletes: cleanup.Work) -> None:
    with connect(filled.url) as connection:
        assert deletes(connection) == World(2000).expired
        assert run(connection, "left") == 0


def test_a_job_that_is_claimed_twice_is_seen(filled: Database) -> None:
    with connect(filled.url) as connection:
        connection.execute("alter function public.claim_jobs(text, integer) rename to claim_jobs_once")
        connection.execute(
            "create function public.claim_jobs(p_worker text, p_limit integer) returns setof public.async_jobs"
            " language sql as $$ select * from public.async_jobs where status = 'queued' order by id limit p_limit $$"
        )
    figures: Iterator[Figure] = workers.figures(filled.url, 2, 1)
    [once] = [figure for figure in figures if figure.name.endswith("exactly once")]
    assert once.ok is False
