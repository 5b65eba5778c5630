"""Concurrent workers, each in its own process, that claim and complete jobs."""

import time
import uuid
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe

import psycopg

from benchmarks.databases import Databases
from benchmarks.figures import Figure, holds

WORKERS, JOBS = 8, 10_000
_CLAIM_SIZES = (1, 10)
_PROCESSES = get_context("spawn")

_CLAIM = "select id, metadata ->> 'claim_id' from public.claim_jobs(%s, %s)"
_COMPLETE = """select public.complete_job(%s, %s, %s, '{"transcription": "…"}')"""


def measure(databases: Databases) -> list[Figure]:
    """Claim one job at a time, then ten, from a queue of 2% of the jobs."""
    queued = databases.rows // 50
    share = min(JOBS, queued // len(_CLAIM_SIZES)) // WORKERS
    with databases.copy(databases.filled()) as url:
        return [figure for number in _CLAIM_SIZES for figure in figures(url, share, number)]


def figures(url: str, share: int, at_once: int) -> Iterator[Figure]:
    """Each worker processes `share` jobs of the queue, `at_once` per claim."""
    claimed, completed, claiming, seconds = _work(url, share, at_once)
    total = share * WORKERS
    name = f"{WORKERS} workers, {at_once} at a time"
    detail = f"{total:,} in {seconds:.1f} s, each claim and each completion committed"
    yield Figure(f"{name}: jobs", total / seconds, "/s", detail=detail, also={"seconds": seconds})
    yield Figure(
        f"{name}: claims",
        len(claimed) / claiming * WORKERS,
        "/s",
        detail="jobs, by the time spent in claim_jobs alone",
    )
    yield holds(
        f"{name}: each claimed exactly once",
        len(claimed) == len(set(claimed)) == completed == total,
        f"{len(claimed):,} claimed, {len(set(claimed)):,} different, {completed:,} completed",
    )


def _work(url: str, share: int, at_once: int) -> tuple[list[uuid.UUID], int, float, float]:
    """All claimed ids, the number of completed jobs, the seconds of all claims, and the seconds from start to end."""
    pipes = []
    processes = []
    for number in range(WORKERS):
        pipe, child_pipe = _PROCESSES.Pipe()
        process = _PROCESSES.Process(
            target=_process_jobs, args=(url, f"worker-{number}", share, at_once, child_pipe), daemon=True
        )
        process.start()
        child_pipe.close()
        pipes.append(pipe)
        processes.append(process)
    try:
        for pipe in pipes:
            pipe.recv()  # connected
        started = time.perf_counter()
        for pipe in pipes:
            pipe.send(None)
        results = [pipe.recv() for pipe in pipes]
        seconds = time.perf_counter() - started
        for process in processes:
            process.join(30)
    finally:
        for process in processes:
            process.kill()
            process.join()
    ids = [id for claimed, _, _ in results for id in claimed]
    return ids, sum(completed for _, completed, _ in results), sum(claiming for _, _, claiming in results), seconds


def _process_jobs(url: str, name: str, share: int, at_once: int, pipe: Pipe) -> None:
    claimed: list[uuid.UUID] = []
    completed, claiming = 0, 0.0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set role service_role")
        pipe.send(None)
        pipe.recv()
        while len(claimed) < share:
            started = time.perf_counter()
            rows = connection.execute(_CLAIM, (name, min(at_once, share - len(claimed)))).fetchall()
            claiming += time.perf_counter() - started
            claimed += [id for id, _ in rows]
            for id, claim in rows:
                completed += connection.execute(_COMPLETE, (id, name, claim)).fetchone() == (True,)
    pipe.send((claimed, completed, claiming))
