"""Worker processes killed with SIGKILL at random: no job is lost, and none ends twice."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

import psycopg
from psycopg.types.json import Jsonb

from supabase_jobs.database.connection import Connection
from tests.fix_db import Make
from tests.sql.test_worker_races import COUNTS, fill
from tests.sql.test_workers import COMPLETE, REQUEUE, claim, value

WORKERS, JOBS, DEATHS = 8, 600, 25
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.sql.test_worker_deaths"])

# Records each claim and status change in its own transaction, so uncommitted changes of a killed
# worker are not in it.
WATCH = """
create table public.history (
  id integer generated always as identity,
  job uuid not null,
  status text not null,
  claim text
);
create function public.note() returns trigger language plpgsql security definer as $$
begin
  insert into public.history (job, status, claim)
  select new.id, new.status, (select s.claim_id from private.worker_state s where s.job_id = new.id);
  return null;
end
$$;
create trigger note after update on public.async_jobs for each row
when (old.status <> new.status)
execute function public.note();
"""


def live(url: str, name: str) -> None:
    """Run a worker until it is killed."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set role service_role")
        while True:
            # no secret
            for job, claim_id in claim(connection, name, random.randint(1, 10)):  # noqa: S311
                time.sleep(0.005)  # the work
                value(connection, COMPLETE, job, name, claim_id, Jsonb({}))


class Workers:
    """Eight worker processes; each killed one is replaced."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.running: list[BaseProcess] = []
        self.deaths = 0

    def start(self) -> None:
        """Start another worker."""
        name = f"worker-{self.deaths + len(self.running)}"
        process = PROCESSES.Process(target=live, args=(self.url, name), daemon=True)
        process.start()
        self.running.append(process)

    def kill_one(self) -> None:
        """Kill a random worker."""
        process = self.running.pop(random.randrange(WORKERS))  # noqa: S311  no secret
        assert process.is_alive(), "a worker ended by itself"
        process.kill()
        process.join()
        self.deaths += 1


@contextmanager
def working(url: str) -> Iterator[Workers]:
    """Run all workers until the end of the block."""
    workers = Workers(url)
    try:
        for _ in range(WORKERS):
            workers.start()
        yield workers
    finally:
        for process in workers.running:
            process.kill()
            process.join()


def finish(keeper: Connection, workers: Workers) -> None:
    """Kill workers at random and requeue their jobs until every job is completed."""
    deadline = time.monotonic() + 60
    while dict(keeper.execute(COUNTS).fetchall()) != {"completed": JOBS}:
        assert time.monotonic() < deadline, "jobs were lost"
        time.sleep(random.uniform(0, 0.1))  # noqa: S311  no secret
        if workers.deaths < DEATHS:
            workers.kill_one()
            workers.start()
        keeper.execute(REQUEUE.encode(), ("1 second", 1000, None))


def test_killed_workers_lose_no_job_and_end_none_twice(make_database: Make) -> None:
    url = make_database("applied").url
    with psycopg.connect(url, autocommit=True) as keeper:
        fill(keeper, JOBS)
        keeper.execute(WATCH.encode())
        with working(url) as workers:
            finish(keeper, workers)
        histories: dict[str, list[tuple[str, str]]] = {}
        for job, status, claim_id in keeper.execute(
            "select job, status, claim from public.history order by id"
        ):
            histories.setdefault(job, []).append((status, claim_id))
    assert len(histories) == JOBS
    claims = [
        claim_id
        for steps in histories.values()
        for status, claim_id in steps
        if status == "processing"
    ]
    assert len(claims) == len(set(claims))
    assert len(claims) > JOBS, "no worker was killed while it held a job"
    for steps in histories.values():
        # claimed only from the queue, and ended once
        legal = {("processing", "queued"), ("queued", "processing"), ("processing", "completed")}
        assert {(a, b) for (a, _), (b, _) in pairwise(steps)} <= legal, steps
        assert (steps[0][0], steps[-1][0]) == ("processing", "completed")
