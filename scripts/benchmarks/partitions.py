"""`scripts/bench --partitions`: the partitioned table of docs/partitions.md, next to a tenth of its
rows.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from textwrap import dedent

from benchmarks import workers
from benchmarks.cleanup import in_batches, in_one
from benchmarks.databases import Databases, statement
from benchmarks.figures import Figure, holds
from benchmarks.programs import ROOT, Programs
from benchmarks.queries import (
    GROWTH,
    SECONDS,
    QueryCase,
    buffers,
    cases,
    evaluates_owner_once,
    explain,
    impersonate,
    interleaved,
    latency_limit,
)
from supabase_jobs.database import query_plan
from supabase_jobs.database.connection import connect
from supabase_jobs.database.query_plan import QueryPlan
from supabase_jobs.verify.plans import queries

SHARE = 10  # the smaller tables have this part of the rows

# insert_jobs.sql creates no job between 88 and 97 hours ago: the expired jobs get a partition of
# their own
_FIRST_ENDS = timedelta(hours=92)
_DROP = "select count(*) from private.drop_async_jobs_partitions(3)"
_BLOCK = re.compile(
    r"^( *)<!-- (?:file: )?([\w/.]+) -->\n *```\w+\n(.*?)^ *```$", flags=re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Urls:
    """The databases: all rows in partitions, a tenth of them in partitions, and the same number in
    one table.
    """

    full: str
    small: str
    table: str
    small_rows: int

    def compared(self, small: str) -> str:
        """A value with the fewer rows, for the last column."""
        return f"{small} with {self.small_rows:,} jobs"


def measure(databases: Databases) -> list[Figure]:
    """The figures of the partitioned table; indexes are built after the rows, and nothing is
    copied.
    """
    few = databases.rows // SHARE
    names = (
        databases.filled(few, indexes_last=True),
        databases.filled(few, prepare=partitioned, indexes_last=True),
        databases.filled(prepare=partitioned, indexes_last=True),
    )
    table, small, full = map(databases.url, names)
    urls = Urls(full, small, table, few)
    return [
        *_size(urls),
        *_queries(urls),
        *_verify(urls),
        *_workers(databases, urls),
        *_deletion(databases, urls),
    ]


def partitioned(url: str) -> None:
    """Partition the table as docs/partitions.md describes; the first partition takes the expired
    jobs.
    """
    text = (ROOT / "docs" / "partitions.md").read_text(encoding="utf-8")
    blocks = {name: dedent(block) for _, name, block in _BLOCK.findall(text)}
    until = f"{datetime.now(UTC) - _FIRST_ENDS:%Y-%m-%d %H:%M:%S+00}"
    with Programs() as programs:
        for name, block in blocks.items():
            if name.startswith("partitions/"):
                programs.write(name, block.replace("UNTIL 00:00:00+00", until))
        programs.shell(f"until=\n{blocks['move']}")  # the files have the end already
        programs.supabase_jobs("apply", url=url)


def _size(urls: Urls) -> Iterator[Figure]:
    full, small = (_value(url, statement("size")) / 1e9 for url in (urls.full, urls.small))
    yield Figure("table and indexes", full, "GB", detail=urls.compared(f"{small:.2f} GB"))


def _queries(urls: Urls) -> Iterator[Figure]:
    with connect(urls.full) as connection:
        parents = dict(connection.execute(statement("partition_indexes")).fetchall())
    declared = queries.load()
    for case in cases(declared):
        yield from _compare(case, declared, urls, parents)


def _compare(
    case: QueryCase, declared: queries.FastQueries, urls: Urls, parents: Mapping[str, str]
) -> Iterator[Figure]:
    """A query in both partitioned tables and in one table, and as the owner of the largest, in
    turns.
    """
    with ExitStack() as stack:
        connections = []
        for url in (urls.full, urls.small, urls.table, urls.full):
            connection = stack.enter_context(connect(url))
            stack.enter_context(connection.transaction(force_rollback=True))
            connections.append(connection)
        *callers, owner = connections
        for caller in callers:
            params = impersonate(caller, declared, case.identity)
        owner.execute("set local search_path = ''")
        plan, small_plan = (explain(caller, case.query.sql, params) for caller in callers[:2])
        once = evaluates_owner_once(plan, explain(owner, case.query.sql, params))
        sides = [*((caller, case.query.sql) for caller in callers), (owner, case.owner_sql)]
        ms, small_ms, table_ms, owner_ms = interleaved(sides, params, SECONDS)
    pages, small_pages = buffers(plan), buffers(small_plan)
    used = {parents.get(name) for name in query_plan.indexes(plan)}
    yield holds(
        f"{case.name}: uses its index, reads no partition in full, evaluates the owner once",
        case.query.index.rpartition(".")[2] in used and not _read_in_full(plan) and once,
        f"{sum('Relation Name' in node for node in query_plan.nodes(plan))} scans",
    )
    yield Figure(
        f"{case.name}: median time",
        ms,
        "ms",
        latency_limit(owner_ms),
        detail=f"{owner_ms:.2f} ms without RLS; {urls.compared(f'{small_ms:.2f} ms')},"
        f" {table_ms:.2f} ms in one table",
        also={"without_rls_ms": owner_ms, "small_ms": small_ms, "table_ms": table_ms},
    )
    yield Figure(
        f"{case.name}: time relative to {urls.small_rows:,} jobs",
        ms / small_ms,
        "×",
        GROWTH,
        detail=f"{small_pages:,} and {pages:,} buffers",
        also={"before": small_pages, "now": pages},
    )


def _read_in_full(plan: QueryPlan) -> bool:
    """Whether a sequential scan reads pages; the planner scans empty partitions."""
    return any(node["Node Type"] == "Seq Scan" and buffers(node) for node in query_plan.nodes(plan))


def _verify(urls: Urls) -> Iterator[Figure]:
    with Programs() as programs:
        verification = programs.supabase_jobs("verify", "--only", "access,plans", url=urls.full)
    yield Figure("verify --only access,plans: time", verification.ms / 1000, "s")
    yield holds("verify --only access,plans: no error", verification.code == 0)


def _workers(databases: Databases, urls: Urls) -> Iterator[Figure]:
    measured = []
    for url, rows in ((urls.full, databases.rows), (urls.small, urls.small_rows)):
        share = min(workers.JOBS, rows // 100) // workers.WORKERS
        measured.append(workers.figures(url, share, 10))
    for full, small in zip(*measured, strict=True):
        compared = replace(full, detail=f"{full.detail}; {urls.compared(small.shown())}")
        yield full if full.limit is not None else compared


def _deletion(databases: Databases, urls: Urls) -> Iterator[Figure]:
    """The expired jobs, a partition: dropped from the full table, deleted row by row from the small
    one.
    """
    expired = min(databases.expired, urls.small_rows * 3 // 10)
    with connect(urls.small) as connection:
        with connection.transaction(force_rollback=True):
            started = time.perf_counter()
            in_one(connection)
            one_delete = time.perf_counter() - started
        started = time.perf_counter()
        in_batches(connection)
        batches = time.perf_counter() - started
    started = time.perf_counter()
    dropped = _value(urls.full, _DROP.encode())
    seconds = time.perf_counter() - started
    yield Figure(
        "drop of an expired partition",
        seconds * 1000,
        "ms",
        detail=f"{databases.expired:,} jobs of {databases.rows:,}",
    )
    yield Figure(
        "cleanup of expired jobs row by row",
        batches * 1000,
        "ms",
        detail=f"{expired:,} jobs of {urls.small_rows:,}; one DELETE {one_delete * 1000:,.0f} ms",
    )
    yield holds(
        "one partition is dropped, with the expired jobs", dropped == 1 and not _expired(urls.full)
    )


def _expired(url: str) -> bool:
    with connect(url) as connection, connection.transaction(force_rollback=True):
        return bool(in_one(connection))


def _value(url: str, text: bytes) -> int:
    with connect(url) as connection:
        row = connection.execute(text).fetchone()
    assert row is not None  # noqa: S101  an aggregate
    return int(row[0])
