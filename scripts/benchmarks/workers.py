"""Workers at once, each a process of its own, that take jobs from the queue and finish them."""

import time
import uuid
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe

import psycopg

from benchmarks.figures import Figure, holds
from benchmarks.world import World

WORKERS, JOBS = 8, 10_000
_AT_ONCE = (1, 10)
_PROCESSES = get_context("spawn")

_CLAIM = "select id, metadata ->> 'claim_id' from public.claim_jobs(%s, %s)"
_COMPLETE = """select public.complete_job(%s, %s, %s, '{"transcription": "…"}')"""


def measure(world: World) -> list[Figure]:
    """One at a time, then ten at a time, from a queue of 2% of the jobs."""
    queued = world.rows // 50
    share = min(JOBS, queued // len(_AT_ONCE)) // WORKERS
    with world.copy(world.filled()) as url:
        return [figure for number in _AT_ONCE for figure in figures(url, share, number)]


def figures(url: str, share: int, at_once: int) -> Iterator[Figure]:
    """Let each worker take its share of the queue, so many at once."""
    claimed, finished, claiming, seconds = _work(url, share, at_once)
    total = share * WORKERS
    name = f"{WORKERS} workers, {at_once} at a time"
    detail = f"{total:,} in {seconds:.1f} s, each claim and each end committed"
    yield Figure(f"{name}: jobs", total / seconds, "/s", detail=detail, also={"seconds": seconds})
    yield Figure(
        f"{name}: claims",
        len(claimed) / claiming * WORKERS,
        "/s",
        detail="jobs, by the time spent in claim_jobs alone",
    )
    yield holds(
        f"{name}: each claimed exactly once",
        len(claimed) == len(set(claimed)) == finished == total,
        f"{len(claimed):,} claimed, {len(set(claimed)):,} different, {finished:,} finished",
    )


def _work(url: str, share: int, at_once: int) -> tuple[list[uuid.UUID], int, float, float]:
    """All ids claimed, how many were finished, the seconds of all claims together, the seconds from start to end."""
    pipes = []
    processes = []
    for number in range(WORKERS):
        ours, theirs = _PROCESSES.Pipe()
        process = _PROCESSES.Process(target=_live, args=(url, f"worker-{number}", share, at_once, theirs), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        for pipe in pipes:
            pipe.recv()  # connected
        started = time.perf_counter()
        for pipe in pipes:
            pipe.send(None)
        answers = [pipe.recv() for pipe in pipes]
        seconds = time.perf_counter() - started
        for process in processes:
            process.join(30)
    finally:
        for process in processes:
            process.kill()
            process.join()
    ids = [id for claimed, _, _ in answers for id in claimed]
    return ids, sum(finished for _, finished, _ in answers), sum(spent for _, _, spent in answers), seconds


def _live(url: str, name: str, share: int, at_once: int, pipe: Pipe) -> None:
    claimed: list[uuid.UUID] = []
    finished, claiming = 0, 0.0
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
                finished += connection.execute(_COMPLETE, (id, name, claim)).fetchone() == (True,)
    pipe.send((claimed, finished, claiming))
