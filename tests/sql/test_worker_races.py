"""Concurrent workers: no job is claimed twice or lost, and no claim waits for a lock."""

import random
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress

import psycopg
import pytest
from psycopg.types.json import Jsonb

from supabase_jobs.database.connection import Connection
from tests.fix_db import Make, oldest_and_newest
from tests.impersonation import JOBS, USER_A, insert_fixture_rows
from tests.programs import MAJORS
from tests.sql.test_workers import COMPLETE, HEARTBEAT, REQUEUE, claim, silence, value

pytestmark = pytest.mark.slow

WORKERS = 8


def many(major: int) -> int:
    """The number of jobs: ten thousand on the newest version, fewer on the others."""
    return 10_000 if major == MAJORS[-1] else 1_000


COUNTS = "select status, count(*) from public.async_jobs group by status"


def fill(connection: Connection, jobs: int) -> None:
    """Insert `jobs` queued jobs of one user."""
    connection.execute("insert into auth.users (id) values (%s)", (USER_A,))
    connection.execute(
        "insert into public.async_jobs (url, user_id, created_at)"
        " select 'https://x.com/' || n, %s, now() - make_interval(secs => n) from"
        " generate_series(1, %s) as n",
        (USER_A, jobs),
    )


class Work:
    """State shared by the workers of a test: claims, results, errors and the stop signal."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.claimed: Counter[uuid.UUID] = Counter()
        self.done: Counter[uuid.UUID] = Counter()
        self.errors: list[BaseException] = []
        self.over = threading.Event()

    def run(self, number: int, deaths: float) -> None:
        """Run a worker until the queue stays empty; a dead worker is replaced under the same name."""
        chance = random.Random(number)  # noqa: S311  which claim fails is no secret
        try:
            while not self.over.is_set():
                self._live(f"worker-{number}", chance, deaths)
        except BaseException as error:  # noqa: BLE001  a thread's failure is the test's
            self.errors.append(error)

    def _live(self, name: str, chance: random.Random, deaths: float) -> None:
        with psycopg.connect(self.url) as connection:
            while not self.over.is_set():
                claimed = claim(connection, name, chance.randint(1, 10))
                if chance.random() < deaths:
                    return connection.close()  # killed before the claim was committed
                connection.commit()
                self.claimed.update(job for job, _ in claimed)
                for job, claim_id in claimed:
                    if chance.random() < deaths:
                        return connection.close()  # killed with jobs in hand
                    if value(connection, COMPLETE, job, name, claim_id, Jsonb({})):
                        self.done[job] += 1
                    connection.commit()
                if not claimed:
                    self.over.wait(0.02)
        return None

    def start(self, deaths: float) -> list[threading.Thread]:
        """Start all workers."""
        threads = [threading.Thread(target=self.run, args=(n, deaths)) for n in range(WORKERS)]
        for thread in threads:
            thread.start()
        return threads


def finish(work: Work, jobs: int, deaths: float) -> None:
    """Requeue the jobs of dead workers until every job is completed."""
    threads = work.start(deaths)
    try:
        with psycopg.connect(work.url, autocommit=True) as keeper:
            for _ in range(1200):
                keeper.execute(REQUEUE.encode(), ("1 second", 1000, None))
                if dict(keeper.execute(COUNTS).fetchall()) == {"completed": jobs} or work.errors:
                    break
                work.over.wait(0.05)
    finally:
        work.over.set()
        for thread in threads:
            thread.join(30)


@oldest_and_newest
def test_every_job_is_claimed_exactly_once(make_database: Make, each_major: int) -> None:
    url = make_database("applied", each_major).url
    work, jobs = Work(url), many(each_major)
    with psycopg.connect(url) as connection:
        fill(connection, jobs)
    finish(work, jobs, deaths=0)
    assert work.errors == []
    assert (len(work.claimed), set(work.claimed.values())) == (jobs, {1})
    assert (len(work.done), set(work.done.values())) == (jobs, {1})


@oldest_and_newest
def test_dying_workers_lose_no_job_and_complete_none_twice(
    make_database: Make, each_major: int
) -> None:
    url = make_database("applied", each_major).url
    work, jobs = Work(url), many(each_major)
    with psycopg.connect(url) as connection:
        fill(connection, jobs)
    finish(work, jobs, deaths=0.02)
    assert work.errors == []
    assert (len(work.done), set(work.done.values())) == (jobs, {1})
    assert max(work.claimed.values()) > 1
    with psycopg.connect(url) as connection:
        retried = (
            "select count(*) from public.async_jobs where (metadata ->> 'retry_count')::integer > 0"
        )
        assert value(connection, retried) > 0


@oldest_and_newest
def test_claim_skips_locked_jobs_and_a_crash_releases_them(
    make_database: Make, each_major: int
) -> None:
    url = make_database("applied", each_major).url
    with psycopg.connect(url, autocommit=True) as other:
        insert_fixture_rows(other)
        other.execute("set statement_timeout = '5s'")
        first = psycopg.connect(url)
        [(taken, _)] = claim(first)
        assert {job for job, _ in claim(other, "w2", 10)} == set(JOBS.values()) - {taken}
        assert claim(other, "w2") == []
        first.close()  # without a commit
        again: list[tuple[uuid.UUID, str]] = []
        for _ in range(100):  # until the server has noticed
            if again := claim(other, "w2"):
                break
            time.sleep(0.05)
        assert [job for job, _ in again] == [taken]


@oldest_and_newest
def test_job_with_a_concurrent_heartbeat_is_not_requeued(
    make_database: Make, each_major: int
) -> None:
    url = make_database("applied", each_major).url
    with psycopg.connect(url, autocommit=True) as keeper, psycopg.connect(url) as worker:
        insert_fixture_rows(keeper)
        keeper.execute("set statement_timeout = '5s'")
        [(job, claim_id)] = claim(keeper, "w1")
        silence(keeper, job)
        assert value(worker, HEARTBEAT, job, "w1", claim_id, 50)
        assert keeper.execute(REQUEUE.encode(), ("5 minutes", 3, None)).fetchone() == (0, 0)
        worker.commit()
        assert keeper.execute(REQUEUE.encode(), ("5 minutes", 3, None)).fetchone() == (0, 0)
        assert value(worker, COMPLETE, job, "w1", claim_id, Jsonb({}))


@oldest_and_newest
def test_result_after_a_concurrent_cancellation_is_rejected(
    make_database: Make, each_major: int
) -> None:
    """complete_job waits for the transaction of the owner and then finds the job cancelled."""
    url = make_database("applied", each_major).url
    with psycopg.connect(url, autocommit=True) as worker, psycopg.connect(url) as owner:
        insert_fixture_rows(worker)
        [(job, claim_id)] = claim(worker, "w1")
        owner.execute("update public.async_jobs set status = 'cancelled' where id = %s", (job,))
        said: list[bool] = []
        thread = threading.Thread(
            target=lambda: said.append(value(worker, COMPLETE, job, "w1", claim_id, Jsonb({})))
        )
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        owner.commit()
        thread.join(10)
        assert said == [False]
        assert (
            value(worker, "select status from public.async_jobs where id = %s", job) == "cancelled"
        )


CALL = "select id, metadata ->> 'claim_id', url from public.complete_and_claim(%s, 'w1', %s)"


def reports(claimed: list[tuple[uuid.UUID, str]]) -> Jsonb:
    """Reports of the worker on its jobs."""
    return Jsonb([{"id": str(job), "claim_id": claim, "result": {}} for job, claim in claimed])


class Call(threading.Thread):
    """A call of complete_and_claim that may have to wait for a lock."""

    def __init__(self, worker: Connection, claimed: list[tuple[uuid.UUID, str]], limit: int):
        super().__init__()
        self.worker, self.values = worker, (reports(claimed), limit)
        self.claimed: list[tuple[object, ...]] = []

    def run(self) -> None:
        """Keep the claimed jobs."""
        self.claimed = self.worker.execute(CALL.encode(), self.values).fetchall()

    def wait(self, other: Connection) -> None:
        """Start the call, and return when another session sees it wait."""
        self.start()
        waits = "select exists (select from pg_locks where pid = %s and not granted)"
        while not value(other, waits, self.worker.info.backend_pid):
            assert self.is_alive()


@oldest_and_newest
def test_a_call_that_waits_for_an_owner_ends_what_the_owner_wrote(
    make_database: Make, each_major: int
) -> None:
    """The snapshot is older than the change of a reported job by its owner, and than other claims."""
    url = make_database("applied", each_major).url
    with (
        psycopg.connect(url, autocommit=True) as worker,
        psycopg.connect(url, autocommit=True) as other,
        psycopg.connect(url) as owner,
    ):
        insert_fixture_rows(worker)
        held = claim(worker, "w1", 2)
        for job, _ in held:
            owner.execute(
                "update public.async_jobs set url = 'new', metadata = '{\"a\": 1}' where id = %s",
                (job,),
            )
        call = Call(worker, held, 2)
        call.wait(owner)
        [(taken, _)] = claim(other, "w2")
        [changed] = set(JOBS.values()) - {taken, *(job for job, _ in held)}
        other.execute("update public.async_jobs set url = 'newer' where id = %s", (changed,))
        owner.commit()
        call.join(10)
        assert [(job, url) for job, _, url in call.claimed] == [(changed, "newer")]
        for job, _ in held:
            row = "select (status, url, metadata -> 'a', metadata ? 'processing_time_ms')::text"
            found = value(worker, f"{row} from public.async_jobs where id = %s", job)
            assert found == "(completed,new,1,t)"
        states = worker.execute("select job_id, worker from private.worker_state").fetchall()
        assert set(states) == {(changed, "w1"), (taken, "w2")}


@oldest_and_newest
def test_a_call_that_the_server_cancels_for_a_deadlock_starts_again(
    make_database: Make, each_major: int
) -> None:
    """The owner updates the jobs in the other order. The server cancels who has waited longer, which
    is the call.
    """
    url = make_database("applied", each_major).url
    with psycopg.connect(url, autocommit=True) as worker, psycopg.connect(url) as owner:
        insert_fixture_rows(worker)
        held = sorted(claim(worker, "w1", 2))
        update = "update public.async_jobs set url = 'new' where id = %s"
        owner.execute(update.encode(), (held[1][0],))
        call = Call(worker, held, 1)
        call.wait(owner)
        with suppress(psycopg.errors.DeadlockDetected):  # if the call has its locks again before
            owner.execute(update.encode(), (held[0][0],))
        owner.rollback()
        call.join(10)
        assert len(call.claimed) == 1
        ended = "select count(*) from public.async_jobs where status = 'completed'"
        assert value(worker, ended) == 2
        assert value(worker, "select count(*) from private.worker_state") == 1
