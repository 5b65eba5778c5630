"""The benchmarks detect a missing index, a slow policy, waiting writes, and jobs claimed twice."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from benchmarks import cleanup, queries, workers
from benchmarks.concurrent_writer import concurrent_writes
from benchmarks.databases import Databases, fill, run
from benchmarks.figures import Figure
from benchmarks.queries import CaseResult
from supabase_jobs.database.connection import connect
from supabase_jobs.verify.plans.queries import load
from tests.fix_db import Database, Make

# as text; otherwise the planner evaluates the comparison with the guest of the query once
PER_ROW = """
alter policy "guests read their own jobs" on public.async_jobs
using (guest_id::text = private.request_guest_id()::text)
"""
NO_INDEX = "drop index public.idx_async_jobs_guest_active"


@pytest.fixture
def filled(make_database: Make) -> Database:
    """A database with the migrations and 2,000 jobs."""
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        fill(connection, 2000)
    return database


def run_query(database: Database, name: str) -> CaseResult:
    """Run one query as one identity."""
    declared = load()
    [case] = [case for case in queries.cases(declared) if case.name == name]
    with connect(database.url) as caller, connect(database.url) as owner:
        return queries.run_case(case, declared, caller, owner, seconds=0)


def plan_figure(result: CaseResult) -> Figure:
    return queries.figures("…", result, result)[0]


@pytest.mark.parametrize(
    "fault", [PER_ROW, NO_INDEX], ids=["owner evaluated for each row", "no index"]
)
def test_a_slow_plan_misses_its_figure(filled: Database, fault: str) -> None:
    name = "active jobs of a guest, as guest"
    assert plan_figure(run_query(filled, name)).ok
    with connect(filled.url) as connection:
        connection.execute(fault.encode())
    assert not plan_figure(run_query(filled, name)).ok


def test_functions_of_the_query_itself_are_ignored(filled: Database) -> None:
    assert run_query(filled, "active jobs of the caller, as user").once


def test_caller_and_owner_read_the_same_number_of_rows(filled: Database) -> None:
    declared = load()
    for case in queries.cases(declared):
        result = run_query(filled, case.name)
        assert result.plan["Actual Rows"] == result.owner_plan["Actual Rows"] > 0, case.name


@pytest.mark.parametrize(
    ("without_rls", "limit"), [(0.1, 0.3), (0.6, 0.8), (0.9, 1.17), (1.0, 1.3), (10.0, 13.0)]
)
def test_the_latency_limit_of_a_query(without_rls: float, limit: float) -> None:
    assert queries.latency_limit(without_rls) == pytest.approx(limit)


def test_a_waiting_write_is_measured(filled: Database) -> None:
    with (
        connect(filled.url) as connection,
        concurrent_writes(filled.url) as writes,
        connection.transaction(),
    ):
        run(connection, "delete_expired")
        waiting = "select exists (select from pg_locks where not granted)"
        for _ in range(500):  # the writer makes other writes before it meets the lock
            if connection.execute(waiting.encode()).fetchone() == (True,):
                break
            threading.Event().wait(0.01)
        threading.Event().wait(0.4)
    assert writes.percentile(100) >= 350
    assert writes.percentile(1) < 350


@pytest.mark.parametrize("delete", [cleanup.in_one, cleanup.in_batches, cleanup.in_naive_batches])
def test_all_deletions_delete_the_expired_jobs(filled: Database, delete: cleanup.Deletion) -> None:
    with connect(filled.url) as connection:
        assert delete(connection) == Databases(2000).expired
        assert run(connection, "expired") == 0


def test_a_job_claimed_twice_misses_the_figure(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "REPEAT", 1)
    with connect(filled.url) as connection:
        connection.execute(
            "alter function public.claim_jobs(text, integer) rename to claim_jobs_once"
        )
        connection.execute(
            "create function public.claim_jobs(p_worker text, p_limit integer) returns setof"
            " public.async_jobs"
            " language sql as $$ select * from public.async_jobs where status = 'queued' order by"
            " id limit p_limit $$"
        )
        connection.execute(
            "create or replace function public.complete_and_claim(p_reports jsonb, p_worker text,"
            " p_limit integer default 1) returns setof public.async_jobs language sql as"
            " $$ select * from public.claim_jobs(p_worker, p_limit) $$"
        )
    figures: Iterator[Figure] = workers.figures(filled.url, 2, 1)
    two_calls, one_call = [figure for figure in figures if figure.name.endswith("exactly once")]
    assert (two_calls.ok, one_call.ok) == (False, False)


# the functions of pgmq that the benchmark calls, without its timeouts
QUEUE = """
create schema pgmq;
create table pgmq.q_jobs (msg_id bigint generated always as identity, message jsonb, read_ct integer default 0);
create table pgmq.a_jobs (msg_id bigint);
create function pgmq.send_batch(text, jsonb[]) returns setof bigint language sql
  as 'insert into pgmq.q_jobs (message) select unnest($2) returning msg_id';
create function pgmq.read(text, integer, integer) returns setof pgmq.q_jobs language sql
  as 'update pgmq.q_jobs set read_ct = 1 where msg_id in (
    select msg_id from pgmq.q_jobs where read_ct = 0 order by msg_id limit $3 for update skip locked) returning *';
create function pgmq.delete(text, bigint[]) returns setof bigint language sql
  as 'delete from pgmq.q_jobs where msg_id = any($2) returning msg_id';
create function pgmq.delete(text, bigint) returns boolean language sql
  as 'select exists (select from pgmq.delete($1, array[$2]))';
create function pgmq.archive(text, bigint[]) returns setof bigint language sql
  as 'with d as (delete from pgmq.q_jobs where msg_id = any($2) returning msg_id)
    insert into pgmq.a_jobs select msg_id from d returning msg_id';
create function pgmq.archive(text, bigint) returns boolean language sql
  as 'select exists (select from pgmq.archive($1, array[$2]))';
"""


@pytest.mark.parametrize("at_once", [pytest.param(1, marks=pytest.mark.slow), 10])
def test_workers_are_compared_with_pgmq(
    filled: Database, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(workers, "REPEAT", 1)
    monkeypatch.setattr(workers, "WORKERS", 2)
    with connect(filled.url) as connection:
        connection.execute(QUEUE.encode())
    figures = {
        figure.name: figure for figure in workers.figures(filled.url, 20, at_once, compare=True)
    }
    name = f"2 workers, {at_once} at a time"
    assert figures[f"{name}: each claimed exactly once"].ok
    assert figures[f"{name}: jobs relative to pgmq, read and archive"].limit is None
    name = f"{name}, in one call"
    assert figures[f"{name}: each claimed exactly once"].ok
    archive, delete = (
        figures[f"{name}: jobs relative to pgmq, read and {way}"] for way in ("archive", "delete")
    )
    assert (archive.limit, archive.least, delete.limit) == (workers.LIMITS[at_once], True, None)
    assert archive.ok == (round(archive.value, 3) >= workers.LIMITS[at_once])
    with connect(filled.url) as connection:
        row = connection.execute(
            "select (select count(*) from pgmq.a_jobs), (select count(*) from pgmq.q_jobs)"
        ).fetchone()
    assert row == (2 * (workers.WARM_UP + 20), 0)
