"""Claims and limited requeues read only the jobs that they return, whatever the statistics."""

import psycopg
import pytest
from psycopg.types.json import Jsonb

from supabase_jobs.database.connection import Connection
from tests.fix_db import Make
from tests.impersonation import USER_A
from tests.sql.test_workers import COMPLETE, REQUEUE, claim

FINISHED, ACTIVE, TAKEN = 10_000, 10_000, 5

# finished jobs, then jobs of another status, in the order of a growing queue
_FILL = """
insert into public.async_jobs (url, user_id, status, created_at, updated_at)
select 'https://x.com/' || n, %s, %s, now() - interval '3 days' + n * interval '1 second', now() - interval '1 day'
from generate_series(%s::integer, %s) as n
"""
# rows of a table that this transaction has read by any scan
_FETCHED = """
select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables where relname = %s
"""
_STATES = """
insert into private.worker_state (job_id, job_created_at) select gen_random_uuid(), now() from generate_series(1, %s)
"""
# all queued jobs are older than the last claim
_LAST_CLAIM = """
select set_config(
  'supabase_jobs.last_claim',
  jsonb_build_object('read_at', clock_timestamp(), 'queue_start', 'infinity')::text,
  false
)
"""


def fetched(connection: Connection, table: str = "async_jobs") -> int:
    """The number of rows of the table that this transaction has read."""
    [(rows,)] = connection.execute(_FETCHED, (table,)).fetchall()
    return int(rows)


@pytest.fixture
def full(make_database: Make, each_major: int, request: pytest.FixtureRequest) -> str:
    """Many finished and active jobs; ANALYZE ran either after or before the active ones were
    inserted.
    """
    status, known = request.param
    url = make_database("applied", each_major).url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter table public.async_jobs set (autovacuum_enabled = off)")
        connection.execute("insert into auth.users (id) values (%s)", (USER_A,))
        connection.execute(_FILL, (USER_A, "completed", 1, FINISHED))
        if not known:
            connection.execute("vacuum analyze public.async_jobs")
        connection.execute(_FILL, (USER_A, status, FINISHED + 1, FINISHED + ACTIVE))
        if known:
            connection.execute("vacuum analyze public.async_jobs")
        # statistics of a moment when workers held few jobs, in a table with space for many
        connection.execute("alter table private.worker_state set (autovacuum_enabled = off)")
        connection.execute(_STATES, (FINISHED,))
        connection.execute(
            "delete from private.worker_state where ctid not in"
            " (select ctid from private.worker_state order by ctid desc limit %s)",
            (TAKEN,),
        )
        connection.execute("vacuum analyze private.worker_state")
        connection.execute(_STATES, (FINISHED // 2,))
    return url


@pytest.mark.parametrize(
    "full",
    [("queued", True), ("queued", False)],
    ids=["analyzed since", "not analyzed since"],
    indirect=True,
)
def test_claim_reads_only_what_it_returns(full: str) -> None:
    """Neither the finished jobs, which are all older, nor the other queued jobs."""
    with psycopg.connect(full) as connection:
        for number in range(8):  # later calls may use a generic plan
            if number % 2:
                connection.execute(_LAST_CLAIM)
            before, states = fetched(connection), fetched(connection, "worker_state")
            claimed = claim(connection, limit=TAKEN)
            assert len(claimed) == TAKEN
            assert fetched(connection) - before <= 4 * TAKEN
            assert fetched(connection, "worker_state") - states <= 4 * TAKEN
            before, states = fetched(connection), fetched(connection, "worker_state")
            jobs = [
                {"id": str(job), "claim_id": claim_id, "error": "e"} for job, claim_id in claimed
            ]
            assert connection.execute(
                "select public.fail_jobs('w1', %s)", (Jsonb(jobs[:3]),)
            ).fetchone() == (3,)
            assert connection.execute(
                "select public.complete_jobs('w1', %s)", (Jsonb(jobs[3:4]),)
            ).fetchone() == (1,)
            job, claim_id = claimed[4]
            assert connection.execute(
                COMPLETE.encode(), (job, "w1", claim_id, Jsonb({}))
            ).fetchone() == (True,)
            assert fetched(connection) - before <= 4 * TAKEN
            assert fetched(connection, "worker_state") - states <= 4 * TAKEN


@pytest.mark.parametrize(
    "full",
    [("queued", True), ("queued", False)],
    ids=["analyzed since", "not analyzed since"],
    indirect=True,
)
def test_reports_with_a_claim_read_only_their_jobs_and_the_next_ones(full: str) -> None:
    with psycopg.connect(full) as connection:
        claimed = claim(connection, limit=TAKEN)
        for _ in range(8):
            reports = [
                {"id": str(job), "claim_id": claim_id, "result": {}} for job, claim_id in claimed
            ]
            before, states = fetched(connection), fetched(connection, "worker_state")
            claimed = connection.execute(
                "select id, metadata ->> 'claim_id' from public.complete_and_claim(%s, 'w1', %s)",
                (Jsonb(reports), TAKEN),
            ).fetchall()
            assert len(claimed) == TAKEN
            assert fetched(connection) - before <= 8 * TAKEN
            assert fetched(connection, "worker_state") - states <= 8 * TAKEN


# pages of an index in memory that statements of this session have read
_PAGES = """
select idx_blks_hit + idx_blks_read from pg_statio_user_indexes where indexrelname = 'idx_async_jobs_active'
"""

# the last claim was a moment ago: a session remembers its position for a second, and a busy machine
# may need longer for eight claims
_JUST_NOW = """
select set_config('supabase_jobs.last_claim', array[
  clock_timestamp(), (current_setting('supabase_jobs.last_claim')::timestamptz[])[2]
]::text, false)
"""


@pytest.mark.parametrize("full", [("queued", True)], ids=["analyzed since"], indirect=True)
def test_a_claim_skips_the_entries_of_claimed_jobs(full: str) -> None:
    """Until the next vacuum the index has an entry of each of them, before those of queued jobs."""
    with psycopg.connect(full, autocommit=True) as connection:

        def pages_read() -> int:
            connection.execute("select pg_stat_force_next_flush()")
            [(pages,)] = connection.execute(_PAGES).fetchall()
            return int(pages)

        assert len(claim(connection, limit=ACTIVE // 2)) == ACTIVE // 2
        claim(connection)
        before = pages_read()
        for _ in range(8):
            connection.execute(_JUST_NOW)
            assert len(claim(connection)) == 1
        # a descent and a leaf for the query, and a descent for the new entry
        assert pages_read() - before <= 8 * 8


@pytest.mark.parametrize(
    "full",
    [("processing", True), ("processing", False)],
    ids=["analyzed since", "not analyzed since"],
    indirect=True,
)
def test_limited_requeue_reads_only_what_it_requeues(full: str) -> None:
    with psycopg.connect(full) as connection:
        for _ in range(8):
            before, states = fetched(connection), fetched(connection, "worker_state")
            assert connection.execute(REQUEUE.encode(), ("5 minutes", 3, TAKEN)).fetchone() == (
                TAKEN,
                0,
            )
            assert fetched(connection) - before <= 4 * TAKEN
            assert fetched(connection, "worker_state") - states <= 4 * TAKEN
