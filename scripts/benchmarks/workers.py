"""Concurrent workers, each in its own process, that claim and complete jobs, in two calls or in one
(complete_and_claim); the same with the messages of pgmq.

A completed job stays in the table, with its result. The same in pgmq is `archive`; `delete` keeps
nothing. Workers run for hours, so each one completes some jobs before the measurement: its session
then knows the catalogs and the plans.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.databases import Databases, run
from benchmarks.figures import Figure, holds
from supabase_jobs.database.connection import Connection

WORKERS, JOBS, WARM_UP, REPEAT = 8, 10_000, 100, 5
CLAIM_SIZES = (1, 10)
# jobs per second of complete_and_claim relative to read and archive, by the size of a claim
LIMITS = {1: 1.0, 10: 0.6}
_RESULT = {"transcription": "…"}
_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload(["benchmarks.workers"])

# One job or message: its id, and what identifies the claim.
Claimed = tuple[Any, Any]


@dataclass(frozen=True)
class Queue:
    """How a worker uses a queue, under which role, and how to add `number` entries.

    `complete_and_claim` does both in one call, if the queue has one.
    """

    name: str
    role: str
    claim: Callable[[Connection, str, int], Sequence[Claimed]]
    complete: Callable[[Connection, str, Sequence[Claimed]], None]
    add: Callable[[Connection, int], None]
    complete_and_claim: (
        Callable[[Connection, str, Sequence[Claimed], int], Sequence[Claimed]] | None
    ) = None


def _claim_jobs(connection: Connection, worker: str, number: int) -> Sequence[Claimed]:
    claim = "select id, metadata ->> 'claim_id', url from public.claim_jobs(%s, %s)"
    return _ids_and_claims(connection.execute(claim, (worker, number)))


def _complete_jobs(connection: Connection, worker: str, claimed: Sequence[Claimed]) -> None:
    if len(claimed) == 1:
        [(job_id, claim_id)] = claimed
        values = (job_id, worker, claim_id, Jsonb(_RESULT))
        connection.execute("select public.complete_job(%s, %s, %s, %s)", values)
        return
    connection.execute("select public.complete_jobs(%s, %s)", (worker, _reports(claimed)))


def _complete_and_claim(
    connection: Connection, worker: str, claimed: Sequence[Claimed], number: int
) -> Sequence[Claimed]:
    call = "select id, metadata ->> 'claim_id', url from public.complete_and_claim(%s, %s, %s)"
    return _ids_and_claims(connection.execute(call, (_reports(claimed), worker, number)))


def _reports(claimed: Sequence[Claimed]) -> Jsonb:
    return Jsonb(
        [
            {"id": str(job_id), "claim_id": claim_id, "result": _RESULT}
            for job_id, claim_id in claimed
        ]
    )


def _ids_and_claims(jobs: "psycopg.Cursor[Any]") -> Sequence[Claimed]:
    return [(job_id, claim_id) for job_id, claim_id, _ in jobs]


def _read_messages(connection: Connection, _worker: str, number: int) -> Sequence[Claimed]:
    read = "select msg_id, message from pgmq.read('jobs', 300, %s)"
    return [(message_id, None) for message_id, _ in connection.execute(read, (number,))]


def _archive_messages(connection: Connection, _worker: str, claimed: Sequence[Claimed]) -> None:
    if len(claimed) == 1:
        connection.execute("select pgmq.archive('jobs', %s::bigint)", (claimed[0][0],))
        return
    connection.execute("select count(*) from pgmq.archive('jobs', %s::bigint[])", (_ids(claimed),))


def _delete_messages(connection: Connection, _worker: str, claimed: Sequence[Claimed]) -> None:
    if len(claimed) == 1:
        connection.execute("select pgmq.delete('jobs', %s::bigint)", (claimed[0][0],))
        return
    connection.execute("select count(*) from pgmq.delete('jobs', %s::bigint[])", (_ids(claimed),))


def _ids(claimed: Sequence[Claimed]) -> list[Any]:
    return [message_id for message_id, _ in claimed]


def _add_jobs(connection: Connection, number: int) -> None:
    run(connection, "add_jobs", number)


def _add_messages(connection: Connection, number: int) -> None:
    run(connection, "add_messages", number)


TWO_CALLS = Queue("claim_jobs", "service_role", _claim_jobs, _complete_jobs, _add_jobs)
ONE_CALL = replace(TWO_CALLS, name="complete_and_claim", complete_and_claim=_complete_and_claim)
ARCHIVE = Queue(
    "pgmq, read and archive", "postgres", _read_messages, _archive_messages, _add_messages
)
DELETE = Queue("pgmq, read and delete", "postgres", _read_messages, _delete_messages, _add_messages)


@dataclass(frozen=True)
class Work:
    """The claimed ids, the seconds of all claims, and the seconds from start to end.

    Without the jobs before the measurement.
    """

    claimed: Sequence[Any]
    claiming: float
    seconds: float

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return len(self.claimed) / self.seconds


def measure(databases: Databases) -> list[Figure]:
    """Claim one job at a time, then ten, from a queue of 2% of the jobs, in turns with pgmq if its
    SQL is given.
    """
    queued = databases.rows // 50
    share = min(JOBS, queued) // WORKERS
    with databases.copy(databases.filled()) as url:
        if databases.pgmq is not None:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(databases.pgmq.read_bytes())
                connection.execute("select pgmq.create('jobs')")
                ARCHIVE.add(connection, queued)
                connection.execute("vacuum analyze pgmq.q_jobs")
        compare = databases.pgmq is not None
        return [
            figure for at_once in CLAIM_SIZES for figure in figures(url, share, at_once, compare)
        ]


def figures(url: str, share: int, at_once: int, compare: bool = False) -> Iterator[Figure]:
    """Each worker processes `share` jobs of the queue, `at_once` per claim; the medians of several
    runs.
    """
    others = (ARCHIVE, DELETE) if compare else ()
    queues = (TWO_CALLS, ONE_CALL, *others)
    runs = [
        {queue.name: _work(url, queue, share, at_once) for queue in queues} for _ in range(REPEAT)
    ]
    name = f"{WORKERS} workers, {at_once} at a time"
    completion = "completion" if at_once == 1 else "completion of all ten"
    works = [run[TWO_CALLS.name] for run in runs]
    yield _rate(name, works, f"each claim and each {completion} committed")
    yield Figure(
        f"{name}: claims",
        statistics.median(len(work.claimed) / work.claiming * WORKERS for work in works),
        "/s",
        detail="jobs, by the time spent in claim_jobs alone",
    )
    for other in others:
        yield _ratio(name, runs, TWO_CALLS, other, None)
    yield _once(name, url, works, share)
    name = f"{name}, in one call"
    works = [run[ONE_CALL.name] for run in runs]
    yield _rate(name, works, f"each {completion} committed with the next claim")
    for other in others:
        limit = LIMITS[at_once] if other is ARCHIVE else None
        yield _ratio(name, runs, ONE_CALL, other, limit)
    yield _once(name, url, works, share)


def _rate(name: str, works: Sequence[Work], committed: str) -> Figure:
    rate = statistics.median(work.rate for work in works)
    total = len(works[0].claimed)
    return Figure(
        f"{name}: jobs",
        rate,
        "/s",
        detail=f"{total:,} in {total / rate:.1f} s, {committed}; median of {REPEAT}",
        also={"seconds": total / rate},
    )


def _ratio(
    name: str, runs: Sequence[Mapping[str, Work]], queue: Queue, other: Queue, limit: float | None
) -> Figure:
    ratios = [run[queue.name].rate / run[other.name].rate for run in runs]
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    rate = statistics.median(run[other.name].rate for run in runs)
    return Figure(
        f"{name}: jobs relative to {other.name}",
        statistics.median(ratios),
        "×",
        limit,
        least=True,
        detail=f"{rate:,.0f}/s; the runs: {each}",
    )


def _once(name: str, url: str, works: Sequence[Work], share: int) -> Figure:
    claimed = [job for work in works for job in work.claimed]
    with psycopg.connect(url) as connection:
        completed = run(connection, "completed", claimed)
    return holds(
        f"{name}: each claimed exactly once",
        len(claimed) == len(set(claimed)) == completed == share * WORKERS * REPEAT,
        f"{len(claimed):,} claimed, {len(set(claimed)):,} different, {completed:,} completed",
    )


def _work(url: str, queue: Queue, share: int, at_once: int) -> Work:
    """Let all workers process their share at the same time, from a queue that is as long afterwards
    as before.
    """
    pipes = []
    processes = []
    with psycopg.connect(url, autocommit=True) as connection:
        queue.add(connection, (WARM_UP + share) * WORKERS)
    for number in range(WORKERS):
        pipe, child_pipe = _PROCESSES.Pipe()
        process = _PROCESSES.Process(
            target=_process_jobs,
            args=(url, queue, f"worker-{number}", share, at_once, child_pipe),
            daemon=True,
        )
        process.start()
        child_pipe.close()
        pipes.append(pipe)
        processes.append(process)
    try:
        for pipe in pipes:
            pipe.recv()  # ready
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
    ids = [id for claimed, _ in results for id in claimed]
    return Work(ids, sum(claiming for _, claiming in results), seconds)


def _process_jobs(url: str, queue: Queue, name: str, share: int, at_once: int, pipe: Pipe) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select set_config('role', %s, false)", (queue.role,))
        _process(connection, queue, name, WARM_UP, at_once)
        pipe.send(None)
        pipe.recv()
        pipe.send(_process(connection, queue, name, share, at_once))


def _process(
    connection: Connection, queue: Queue, name: str, share: int, at_once: int
) -> tuple[Sequence[Any], float]:
    ids: list[Any] = []
    claiming = 0.0
    claimed: Sequence[Claimed] = ()
    while len(ids) < share:
        number = min(at_once, share - len(ids))
        if queue.complete_and_claim is not None:
            claimed = queue.complete_and_claim(connection, name, claimed, number)
        else:
            if claimed:
                queue.complete(connection, name, claimed)
            started = time.perf_counter()
            claimed = queue.claim(connection, name, number)
            claiming += time.perf_counter() - started
        ids += [id for id, _ in claimed]
    queue.complete(connection, name, claimed)
    return ids, claiming
