"""The cost of the size checks of an insert, and of a heartbeat, without waiting for the disk."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.databases import Databases, run, statement
from benchmarks.figures import Figure
from supabase_jobs.database.connection import Connection, connect

# the checks of metadata, result and error may cost this much of an insert
LIMIT = 1.05
REPEAT, BULK, SINGLE, BEATS = 41, 500, 20, 20
_TABLES = ("with_checks", "without_checks")


def measure(databases: Databases) -> list[Figure]:
    """Inserts into two empty tables, one of them without the checks, and heartbeats of claimed
    jobs, all in turns.
    """
    with databases.copy(databases.filled()) as url, connect(url) as connection:
        connection.execute(statement("tables_without_checks"))
        connection.execute(
            "set synchronous_commit = off"
        )  # the time of the server, not of the disk
        return [
            _insert(f"insert of {BULK} jobs", partial(_bulk, connection)),
            _insert("insert of one job", partial(_single, connection)),
            *_heartbeats(connection),
        ]


def _insert(name: str, insert: Callable[[str], float]) -> Figure:
    times = in_turns({table: partial(insert, table) for table in _TABLES})
    ratio = statistics.median(
        a / b for a, b in zip(*(times[table] for table in _TABLES), strict=True)
    )
    checked, unchecked = (statistics.median(times[table]) for table in _TABLES)
    return Figure(
        f"{name}: time relative to a table without the size checks",
        ratio,
        "×",
        LIMIT,
        detail=f"{checked * 1000:.2f} ms and {unchecked * 1000:.2f} ms, median of {REPEAT}",
    )


def _bulk(connection: Connection, table: str) -> float:
    started = time.perf_counter()
    run(connection, f"insert_{table}", BULK)
    return time.perf_counter() - started


def _single(connection: Connection, table: str) -> float:
    started = time.perf_counter()
    for _ in range(SINGLE):
        run(connection, f"insert_{table}", 1)
    return (time.perf_counter() - started) / SINGLE


def _heartbeats(connection: Connection) -> list[Figure]:
    """Heartbeats with and without new progress, and the update of the job that they replace."""
    claimed = connection.execute(
        "select id, metadata ->> 'claim_id' from public.claim_jobs('w', %s)", (BEATS,)
    ).fetchall()
    beat = "select public.heartbeat_job(%s, 'w', %s, %s)"
    update = (
        "update public.async_jobs set metadata = metadata || jsonb_build_object('last_check',"
        " now())"
        " where id = %s and metadata ->> 'server_id' = 'w'"
    )
    rounds = iter(range(REPEAT + 1))

    def beats(progress: bool) -> float:
        number = next(rounds) % 100 if progress else None
        started = time.perf_counter()
        for job_id, claim_id in claimed:
            connection.execute(beat, (job_id, claim_id, number))
        return (time.perf_counter() - started) / len(claimed)

    def updates() -> float:
        started = time.perf_counter()
        for job_id, _ in claimed:
            connection.execute(update.encode(), (job_id,))
        return (time.perf_counter() - started) / len(claimed)

    times = in_turns(
        {"plain": partial(beats, False), "progress": partial(beats, True), "update": updates}
    )
    plain, progress, changed = (
        statistics.median(times[name]) * 1000 for name in ("plain", "progress", "update")
    )
    return [
        Figure("heartbeat", plain, "ms", detail=f"median of {REPEAT} rounds of {len(claimed)}"),
        Figure("heartbeat with new progress", progress, "ms"),
        Figure(
            "heartbeat: time relative to an update of the job",
            statistics.median(a / b for a, b in zip(times["plain"], times["update"], strict=True)),
            "×",
            detail=f"{plain:.2f} ms and {changed:.2f} ms",
        ),
    ]


def in_turns(measures: Mapping[str, Callable[[], float]]) -> Mapping[str, Sequence[float]]:
    """The results of several measures, each repeated in alternating order, after one round that
    does not count.
    """
    times: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(REPEAT + 1):
        for name, one in sorted(measures.items(), reverse=bool(number % 2)):
            seconds = one()
            if number:
                times[name].append(seconds)
    return times
